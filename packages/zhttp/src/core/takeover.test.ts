import { toByteString } from "@pushpin/tnetstrings";
import { describe, expect, test } from "vitest";
import { Predecessors } from "./predecessors.ts";
import { RETAINED_MAX_BYTES, RetainedInput } from "./retained-input.ts";
import {
  ANCHOR_MAX_BYTES,
  decodeAnchor,
  decodePacket,
  encodeAnchor,
  encodePacket,
  type Kind,
  Packet,
  readResume,
  SESSION_EXPIRE_MS,
  Session,
} from "./index.ts";

function taken(session: Session): Packet[] {
  const packets: Packet[] = [];
  for (let one = session.takePacket(); one !== undefined; one = session.takePacket())
    packets.push(one);
  return packets;
}

/** What arrives at the other end. */
function sent(packet: Packet): Packet {
  const decoded = decodePacket(encodePacket(packet));
  if (!decoded.ok) throw new Error(decoded.error);
  return decoded.value;
}

const OWNER = "proxy-0-a";
const SUCCESSOR = "proxy-0-b";

/** A connection manager's end and its owner's, which has put `anchor` on its first packet. */
function pair(kind: Kind, anchor = "anchor") {
  const client = new Session({
    role: "initiator",
    kind,
    from: "cm-0-a",
    id: "1",
    nowMs: 0,
    credits: 1000,
    offerRouter: true,
  });
  const first = Object.assign(new Packet(), {
    method: "GET",
    uri: kind === "http" ? "http://a/" : "ws://a/",
  });
  client.open(first);
  const [opening] = taken(client) as [Packet];
  const owner = new Session({
    role: "responder",
    kind,
    from: OWNER,
    id: "1",
    nowMs: 0,
    credits: 200,
    peer: "cm-0-a",
  });
  owner.receive(sent(opening), 0, 0);
  owner.setAnchor(anchor);
  owner.respond({ code: kind === "http" ? 200 : 101, reason: "", headers: [] }, "", true);
  const [answer] = taken(owner) as [Packet];
  client.receive(sent(answer), answer.seq, 0);
  if (kind === "websocket") client.outCredits = 200;
  return { client, owner };
}

function resumed(client: Session, mark?: number): { successor: Session; marks: string; rest: Packet[] } {
  expect(client.handTo(SUCCESSOR, mark)).toBe(true);
  const [resume, ...rest] = taken(client) as [Packet, ...Packet[]];
  const resumable = readResume(sent(resume), SUCCESSOR, 0);
  if (resumable === undefined) throw new Error("not readable");
  expect(resumable.anchor).toBe("anchor");
  return { successor: Session.resume(resumable), marks: resumable.marks, rest };
}

describe("given a held response whose owner has died", () => {
  test("when it is handed to a successor, then both ends go on with the right numbers and credits", () => {
    const { client, owner } = pair("http");
    owner.write("x".repeat(300), true);
    for (const packet of taken(owner)) client.receive(sent(packet), packet.seq, 0);
    const { successor } = resumed(client);
    successor.write("more", true);
    const packets = taken(successor);
    expect(packets.map((one) => one.type)).toEqual(["keep-alive", "data"]);
    for (const packet of packets) {
      const received = client.receive(sent(packet), packet.seq, 0);
      expect(received).toBe(packet.type);
    }
    expect(client.peer).toBe(SUCCESSOR);
    expect(successor.outCredits).toBe(1000 - 300 - 4);
    client.keepAlive();
    const [keepAlive] = taken(client) as [Packet];
    expect(successor.receive(sent(keepAlive), keepAlive.seq, 0)).toBe("keep-alive");
  });

  test("when its owner said that nobody can go on, or never said anything, then it cannot be handed over", () => {
    expect(pair("http", "").client.handTo(SUCCESSOR)).toBe(false);
    const { client, owner } = pair("http");
    expect(owner.setAnchor("x".repeat(ANCHOR_MAX_BYTES + 1))).toBe(false);
    owner.write("a", true);
    for (const packet of taken(owner)) client.receive(sent(packet), packet.seq, 0);
    expect(client.handTo(SUCCESSOR)).toBe(false);
  });

  test("when somebody else has spoken since, then the anchor of the one before counts no more", () => {
    const { client } = pair("http");
    const packet = Object.assign(new Packet(), { type: "keep-alive", from: "handler-0-a", id: "1" });
    client.receive(packet, client.inSeq, 0);
    expect(client.handTo(SUCCESSOR)).toBe(false);
  });

  test("when nobody comes for it, then it expires later than one that nobody can take", () => {
    const { client } = pair("http");
    expect(client.isExpired(SESSION_EXPIRE_MS)).toBe(false);
    expect(client.isExpired(2 * SESSION_EXPIRE_MS)).toBe(true);
    expect(pair("http", "").client.isExpired(SESSION_EXPIRE_MS)).toBe(true);
  });

  test("when one successor after the other dies, then the marks of all of them go along", () => {
    const { client } = pair("http");
    expect(resumed(client, 415).marks).toBe(`${OWNER} 415`);
    client.anchor = "anchor";
    expect(client.handTo("proxy-0-c", 3)).toBe(true);
    const [resume] = taken(client) as [Packet];
    expect(resume.ext?.get("marks")).toBe(`${OWNER} 415,${SUCCESSOR} 3`);
  });
});

describe("given a WebSocket whose owner has died", () => {
  test("when messages were on the way, then the successor gets those that were not credited, and the close", () => {
    const { client, owner } = pair("websocket");
    client.message("text", "credited", false);
    client.message("text", "lost", false);
    client.ping("p");
    client.message("binary", "lost too", false);
    client.close(4000, "bye");
    const [credited] = taken(client) as [Packet];
    owner.receive(sent(credited), credited.seq, 0);
    owner.grant(8);
    for (const packet of taken(owner)) client.receive(sent(packet), packet.seq, 0);
    const { successor, rest } = resumed(client);
    expect(
      rest.map((one) => [one.type, one.contentType, toByteString(one.body), one.code]),
    ).toEqual([
      ["data", "text", "lost", undefined],
      ["data", "binary", "lost too", undefined],
      ["close", "", "bye", 4000],
    ]);
    for (const packet of rest)
      expect(successor.receive(sent(packet), packet.seq, 0)).toBe(packet.type);
    expect(successor.inCredits).toBe(client.outCredits);
  });

  test("when the client has left, then the successor gets what was not credited, and its end", () => {
    const { client } = pair("websocket");
    client.message("text", "last", false);
    client.close(4000, "bye");
    client.cancel();
    taken(client);
    expect(client.handTo(SUCCESSOR)).toBe(false);
    for (const successor of [SUCCESSOR, "proxy-0-c"]) {
      expect(client.handTo(successor, 0, true)).toBe(true);
      expect(taken(client).map((one) => one.type)).toEqual(["resume", "cancel"]);
    }
  });

  test("when the client has left after its last message was sent, then the successor gets that too", () => {
    const { client } = pair("websocket");
    client.message("text", "last", false);
    client.close(4000, "bye");
    taken(client);
    client.cancel();
    const kept = client.keptBytes;
    taken(client);
    expect(kept).toBe("anchor".length + "last".length);
    for (const successor of [SUCCESSOR, "proxy-0-c"]) {
      expect(client.handTo(successor, 0, true)).toBe(true);
      const types = taken(client).map((one) => one.type);
      expect(types).toEqual(["resume", "data", "close", "cancel"]);
    }
  });
});

describe("given input kept until it is credited", () => {
  const texts = (input: RetainedInput) => input.take().map((one) => one.body);
  const piece = (body: string, more = false) => ({ contentType: "text", body, more });

  test("when a part of a message is credited, then all of it is kept", () => {
    const input = new RetainedInput();
    input.add(piece("ab", true));
    input.add(piece("cd"));
    input.add(piece("e"));
    input.credited(3);
    expect(texts(input)).toEqual(["ab", "cd", "e"]);
    expect(input.isEmpty).toBe(true);
  });

  test("when pings are credited too, then no message is given up for them", () => {
    const input = new RetainedInput();
    input.add(piece("a", true));
    input.skip(5);
    input.add(piece("b"));
    input.add(piece("abc"));
    input.credited(6);
    input.credited(1);
    expect(texts(input)).toEqual(["abc"]);
  });

  test("when a message is too large, then neither its start nor its end is kept, but the next is", () => {
    const input = new RetainedInput();
    input.add(piece("x".repeat(RETAINED_MAX_BYTES + 1), true));
    input.credited(RETAINED_MAX_BYTES + 1);
    expect(input.isEmpty).toBe(false); // the rest of it has to be recognised
    input.add(piece("end"));
    input.add(piece("next"));
    input.credited(3);
    expect(texts(input)).toEqual(["next"]);
  });
});

describe("given processes that start one after the other", () => {
  test("when one has the role and slot of another, then it replaces that one and no other", () => {
    const predecessors = new Predecessors();
    expect(predecessors.announce("proxy-0-a")).toBe(true);
    expect(predecessors.announce("proxy-1-a")).toBe(true);
    expect(predecessors.announce("proxy-0-b")).toBe(true);
    const isReplaced = (id: string) => predecessors.isReplaced(id);
    expect(["proxy-0-a", "proxy-1-a", "proxy-0-b", "handler-0-a"].map(isReplaced)).toEqual([
      true,
      false,
      false,
      false,
    ]);
    // One that was stopped, and wakes up, is not the newest.
    expect(predecessors.announce("proxy-0-a")).toBe(false);
    expect(isReplaced("proxy-0-b")).toBe(false);
    expect(predecessors.isReplacedBy("proxy-0-b", "proxy-0-a")).toBe(false);
    expect(predecessors.isReplacedBy("proxy-0-a", "proxy-0-b")).toBe(true);
    expect(isReplaced("proxy-0-b")).toBe(false);
  });

  test("when nobody has answered a request, then it is lost only if it was sent before somebody left", () => {
    const predecessors = new Predecessors();
    const { client } = pair("http");
    client.peer = "";
    expect(predecessors.isLost(client, SUCCESSOR, 0)).toBe(false);
    expect(predecessors.isLost(client, SUCCESSOR, 1)).toBe(true);
  });
});

describe("given an anchor", () => {
  test("when it is written and read, then maps and bytes come back", () => {
    const anchor = { map: new Map([["a", ["b"]]]), bytes: Buffer.from("\xff\0", "latin1"), n: 1 };
    expect(decodeAnchor(encodeAnchor(anchor))).toEqual({
      map: new Map([["a", ["b"]]]),
      bytes: "\xff\0",
      n: 1,
    });
    expect(decodeAnchor("{")).toBeUndefined();
  });
});
