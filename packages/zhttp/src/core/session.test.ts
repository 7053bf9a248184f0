import { toByteString } from "@pushpin/tnetstrings";
import { describe, expect, test } from "vitest";
import { KeepAliveSchedule, Packet, type PacketType, SESSION_EXPIRE_MS, Session } from "./index.ts";

const HEAD = { code: 200, reason: "OK", headers: ["A", "b"] };

function packet(type: PacketType, fields: Partial<Packet> = {}): Packet {
  return Object.assign(new Packet(), { type, from: "cm", id: "1", ...fields });
}

function taken(session: Session): Packet[] {
  const packets: Packet[] = [];
  for (let one = session.takePacket(); one !== undefined; one = session.takePacket())
    packets.push(one);
  return packets;
}

/** A proxy's end of a client request, granted 10 bytes of credit by the initiator. */
function responder(kind: "http" | "websocket" = "http", credits = 10): Session {
  const session = new Session({
    role: "responder",
    kind,
    from: "px",
    id: "1",
    nowMs: 0,
    credits: 100,
    peer: "cm",
  });
  session.receive(packet("data", { seq: 0, credits, multi: true, more: false }), 0, 0);
  return session;
}

/** A connection manager's end, whose request has been answered by "px". */
function initiator(kind: "http" | "websocket" = "http"): Session {
  const session = new Session({
    role: "initiator",
    kind,
    from: "cm",
    id: "1",
    nowMs: 0,
    credits: 100,
  });
  session.open(
    Object.assign(new Packet(), { method: "GET", uri: "http://a/", more: kind === "http" }),
  );
  taken(session);
  session.receive(packet("keep-alive", { from: "px" }), 0, 0);
  return session;
}

describe("given a session that expects seq 1 (wire.md 4.2)", () => {
  test("when seq 2 arrives, then it cancels the peer with its own next seq and reports the failure", () => {
    const session = responder();
    session.acknowledge();
    expect(taken(session)).toMatchObject([{ type: "keep-alive", seq: 0 }]);
    expect(session.receive(packet("keep-alive"), 2, 1)).toBe("failed");
    expect(session.failure).toBe("undefined-condition");
    expect(taken(session)).toMatchObject([{ type: "cancel", seq: 1 }]);
    expect(session.ended).toBe(true);
  });

  test("when a packet has no seq, then it is taken and the counter stays", () => {
    const session = responder();
    expect(session.receive(packet("credit", { credits: 5 }), undefined, 1)).toBe("credit");
    expect(session.receive(packet("keep-alive"), 1, 1)).toBe("keep-alive");
  });

  test("when it is a WebSocket responder and seq is missing, then it fails", () => {
    expect(responder("websocket").receive(packet("keep-alive"), undefined, 1)).toBe("failed");
  });

  test.each(["error", "cancel"] as const)(
    "when %s arrives with a wrong seq, then it still ends the session, and nothing is answered",
    (type) => {
      const session = responder();
      session.write("abc", true);
      expect(session.receive(packet(type), 77, 1)).toBe(type);
      expect(taken(session)).toEqual([]);
    },
  );
});

describe("given credits (wire.md 4.3)", () => {
  test("when a response exceeds them, then the head goes with what fits and the rest waits", () => {
    const session = responder("http", 4);
    session.respond(HEAD, "hello world", false);
    expect(taken(session)).toMatchObject([
      { code: 200, reason: "OK", headers: ["A", "b"], body: "hell", more: true, seq: 0 },
    ]);
    expect(session.queuedBytes).toBe(7);
    session.receive(packet("credit", { credits: 3 }), 1, 1);
    expect(taken(session)).toMatchObject([{ body: "o w", more: true, seq: 1 }]);
    session.receive(packet("credit", { credits: 300 }), 2, 1);
    expect(taken(session)).toMatchObject([{ body: "orld", more: false, seq: 2 }]);
    expect(session.ended).toBe(true);
  });

  test("when there are none, then a head without a body and an empty end still go", () => {
    const session = responder("http", 0);
    session.respond(HEAD, "", true);
    session.write("", false);
    expect(taken(session)).toMatchObject([
      { code: 200, more: true },
      { body: "", more: false },
    ]);
  });

  test("when a ping does not fit, then it and what follows wait; a close is free", () => {
    const session = responder("websocket", 3);
    session.respond({ code: 101, reason: "S", headers: [] }, "", false);
    session.ping("12345");
    session.close(1000, "bye");
    expect(taken(session)).toMatchObject([{ code: 101, credits: 100 }]);
    session.receive(packet("credit", { credits: 2 }), 1, 1);
    expect(taken(session)).toMatchObject([
      { type: "ping", body: "12345" },
      { type: "close", code: 1000, body: "bye" },
    ]);
  });

  test("when a WebSocket message is split, then every piece carries its type", () => {
    const session = responder("websocket", 2);
    session.message("text", "abcd", false);
    expect(taken(session)).toMatchObject([{ contentType: "text", body: "ab", more: true }]);
    session.receive(packet("credit", { credits: 2 }), 1, 1);
    expect(taken(session)).toMatchObject([{ contentType: "text", body: "cd", more: false }]);
  });

  test("when the application consumes bytes, then one credit packet says so, however often it was told", () => {
    const session = responder();
    session.grant(5);
    session.grant(6);
    expect(taken(session)).toMatchObject([{ type: "credit", credits: 11 }]);
  });

  test("when the peer sends far more than it was granted, then the session fails", () => {
    const session = initiator();
    expect(
      session.receive(
        packet("data", { from: "px", body: Buffer.alloc(1_200_000), more: true }),
        1,
        1,
      ),
    ).toBe("failed");
  });
});

describe("given an initiator (wire.md 4.1)", () => {
  test("when it opens, then seq is 0 and nothing else goes before the first answer", () => {
    const session = new Session({
      role: "initiator",
      kind: "http",
      from: "cm",
      id: "1",
      nowMs: 0,
      credits: 8192,
    });
    session.open(Object.assign(new Packet(), { method: "POST", uri: "http://a/", more: true }));
    expect(taken(session)).toMatchObject([
      { seq: 0, from: "cm", id: "1", credits: 8192, stream: true, multi: true },
    ]);
    session.write("body", false);
    expect(taken(session)).toEqual([]);
    session.receive(packet("credit", { from: "px", credits: 100 }), 0, 1);
    expect(session.peer).toBe("px");
    expect(taken(session)).toMatchObject([{ seq: 1, body: "body", more: false }]);
  });

  test("when an answer comes from another instance, then the session has a new owner", () => {
    const session = initiator();
    session.receive(packet("keep-alive", { from: "hd" }), 1, 1);
    expect(session.peer).toBe("hd");
  });

  test("when the response ends before the upload, then the session ends and the rest of the upload is dropped", () => {
    const session = initiator();
    session.write("more upload", true);
    expect(session.receive(packet("data", { from: "px", code: 413, headers: [] }), 1, 1)).toBe(
      "data",
    );
    expect(session.ended).toBe(true);
    expect(taken(session)).toEqual([]);
  });
});

describe("given a handoff (wire.md 4.9)", () => {
  test("when the owner asks, then it is silent until the initiator agrees, and ignores all after", () => {
    const session = responder();
    session.acknowledge();
    session.handoffStart();
    expect(taken(session)).toMatchObject([
      { type: "keep-alive", seq: 0 },
      { type: "handoff-start", seq: 1 },
    ]);
    session.keepAlive();
    expect(taken(session)).toEqual([]);
    expect(session.maySend).toBe(false);
    expect(session.receive(packet("handoff-proceed"), 1, 1)).toBe("handoff-proceed");
    expect(session).toMatchObject({ inSeq: 2, outSeq: 2, outCredits: 10 });
    expect(session.receive(packet("cancel"), 2, 1)).toBe("ignored");
  });

  test("when the initiator agrees, then it says nothing until a packet of the new owner arrives", () => {
    const session = initiator();
    expect(session.receive(packet("handoff-start", { from: "px" }), 1, 1)).toBe("handoff-start");
    session.handoffProceed();
    expect(taken(session)).toMatchObject([{ type: "handoff-proceed", seq: 1 }]);
    session.write("x", true);
    expect(taken(session)).toEqual([]);
    expect(session.maySend).toBe(false);
    session.receive(packet("keep-alive", { from: "hd", credits: 0 }), 2, 1);
    expect(session.state).toBe("open");
    expect(session.peer).toBe("hd");
  });

  test("when a new owner resumes, then its first packet is a keep-alive at the given seq, and one skipped number is forgiven", () => {
    const session = Session.resume({
      kind: "http",
      from: "hd",
      peer: "cm",
      id: "1",
      inSeq: 2,
      outSeq: 2,
      outCredits: 8192,
      nowMs: 0,
    });
    expect(taken(session)).toMatchObject([{ type: "keep-alive", from: "hd", seq: 2, multi: true }]);
    expect(session.receive(packet("keep-alive"), 3, 1)).toBe("keep-alive");
    expect(session.receive(packet("keep-alive"), 5, 1)).toBe("failed");
  });

  test("when the handoff is refused, then the old owner goes on with its numbers", () => {
    const session = responder();
    session.handoffStart();
    taken(session);
    session.receive(packet("handoff-proceed"), 1, 1);
    session.takeBack();
    session.respond(HEAD, "x", false);
    expect(taken(session)).toMatchObject([
      { type: "keep-alive", seq: 1 },
      { code: 200, seq: 2 },
    ]);
  });

  test.each(["responder", "initiator"] as const)(
    "when a %s gets the move of the other side, then it is ignored",
    (role) => {
      const session = role === "responder" ? responder() : initiator();
      const type = role === "responder" ? "handoff-start" : "handoff-proceed";
      expect(session.receive(packet(type), 1, 1)).toBe("ignored");
      expect(session.state).toBe("open");
    },
  );
});

describe("given a WebSocket session", () => {
  test("when both sides have closed, then it is over without further packets", () => {
    const session = responder("websocket");
    session.receive(packet("close", { code: 1000 }), 1, 1);
    expect(session.ended).toBe(false);
    session.close(1000, "");
    expect(taken(session)).toMatchObject([{ type: "close" }]);
    expect(session.ended).toBe(true);
  });

  test("when it is refused, then one packet holds the whole response", () => {
    const session = responder("websocket");
    session.reject({ code: 403, reason: "Forbidden", headers: ["X", "y"] }, "nope");
    expect(taken(session)).toMatchObject([
      { type: "error", condition: "rejected", code: 403, reason: "Forbidden", body: "nope" },
    ]);
    expect(session.ended).toBe(true);
  });
});

describe("given many sessions (wire.md 4.4)", () => {
  test("when a cycle passes, then each is refreshed once, in lists of at most 128 for one peer", () => {
    const schedule = new KeepAliveSchedule<{ session: Session }>();
    for (let i = 0; i < 6000; i += 1) {
      const session = new Session({
        role: "responder",
        kind: "http",
        from: "hd",
        id: `${i}`,
        nowMs: 0,
        credits: 0,
        peer: "cm",
      });
      session.multi = true;
      schedule.add({ session });
    }
    const seen = new Set<string>();
    for (let second = 0; second < 45; second += 1) {
      for (const { to, packet: one } of schedule.tick(second * 1000).packets) {
        expect(to).toBe("cm");
        expect(one.ids?.length).toBeLessThanOrEqual(128);
        for (const { id, seq } of one.ids ?? []) {
          expect(seq).toBe(0);
          seen.add(id);
        }
      }
    }
    expect(seen.size).toBe(6000);
  });

  test("when the peer was silent for 60 s, then the session expires without a word", () => {
    const schedule = new KeepAliveSchedule<{ session: Session }>();
    const one = { session: responder() };
    schedule.add(one);
    const expired = [];
    for (let i = 0; i < 5; i += 1) expired.push(...schedule.tick(SESSION_EXPIRE_MS + i).expired);
    expect(expired).toEqual([one]);
    expect(schedule.size).toBe(0);
  });

  test("when some speak now and then and others come later, then each expires within five seconds of its time", () => {
    const schedule = new KeepAliveSchedule<{ session: Session }>();
    const lastHeardMs = new Map<Session, number>();
    const add = (nowMs: number) => {
      const session = responder();
      session.receive(packet("keep-alive"), undefined, nowMs);
      lastHeardMs.set(session, nowMs);
      schedule.add({ session });
    };
    const expiredMs = new Map<Session, number>();
    for (let second = 0; second < 300; second += 1) {
      const nowMs = second * 1000 + 500;
      if (second < 100) add(nowMs - 1);
      for (const { session } of schedule.tick(nowMs).expired) expiredMs.set(session, nowMs);
      for (const [index, session] of [...lastHeardMs.keys()].entries()) {
        if (session.ended || second > 150 || (second * 7 + index) % (20 + (index % 60)) !== 0) continue;
        session.receive(packet("keep-alive"), undefined, nowMs);
        lastHeardMs.set(session, nowMs);
      }
    }
    expect(expiredMs.size).toBe(100);
    for (const [session, nowMs] of expiredMs) {
      const silentMs = nowMs - (lastHeardMs.get(session) ?? 0);
      expect(silentMs).toBeGreaterThanOrEqual(SESSION_EXPIRE_MS);
      expect(silentMs).toBeLessThanOrEqual(SESSION_EXPIRE_MS + 5000);
    }
  });

  test("when a data packet addresses several, then credits and seq are taken from each", () => {
    const session = responder();
    expect(session.takeOutCredits(4)).toBe(true);
    expect(session.nextOutSeq()).toBe(0);
    expect(session.takeOutCredits(7)).toBe(false);
    expect(toByteString("x")).toBe("x");
  });
});
