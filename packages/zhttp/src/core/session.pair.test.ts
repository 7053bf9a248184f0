import { toByteString } from "@pushpin/tnetstrings";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodePacket, encodePacket, Packet, SESSION_EXPIRE_MS, Session } from "./index.ts";

/** One direction of a link: in order unless told to reorder, may lose. */
class Link {
  frames: Buffer[] = [];
  push(packet: Packet): void {
    this.frames.push(encodePacket(packet));
  }
}

interface Schedule {
  readonly seed: number;
  readonly loss: number;
  readonly reorder: number;
}

/** An upload of `up` bytes and a response of `down` bytes between two cores over a bad link. */
function exchange({ seed, loss, reorder }: Schedule, up: number, down: number) {
  let state = seed | 1;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const client = new Session({
    role: "initiator",
    kind: "http",
    from: "cm",
    id: "1",
    nowMs: 0,
    credits: 50,
  });
  const server = new Session({
    role: "responder",
    kind: "http",
    from: "px",
    id: "1",
    nowMs: 0,
    credits: 0,
    peer: "cm",
  });
  const toServer = new Link();
  const toClient = new Link();
  let nowMs = 0;
  let sentUp = 0;
  let sentDown = 0;
  let gotUp = "";
  let gotDown = "";
  let headSent = false;
  let upDone = false;
  let downDone = false;
  const text = (from: number, n: number) =>
    Array.from({ length: n }, (_, i) => String.fromCharCode((from + i) % 256)).join("");
  client.open(Object.assign(new Packet(), { method: "POST", uri: "http://a/", more: up > 0 }));

  const flush = () => {
    for (const [session, link] of [
      [client, toServer],
      [server, toClient],
    ] as const) {
      for (let one = session.takePacket(); one !== undefined; one = session.takePacket()) {
        expect(session.outCredits).toBeGreaterThanOrEqual(0);
        link.push(one);
      }
    }
  };
  const deliver = (link: Link, session: Session) => {
    if (link.frames.length === 0) return;
    const at = random() < reorder && link.frames.length > 1 ? 1 : 0;
    const [frame] = link.frames.splice(at, 1);
    if (random() < loss || frame === undefined) return;
    const result = decodePacket(frame);
    if (!result.ok) throw new Error(result.error);
    const received = session.receive(result.value, result.value.seq, nowMs);
    if (received !== "data") return;
    const body = toByteString(result.value.body);
    if (session === server) {
      if (result.value.seq === 0) session.acknowledge(up > 0 ? 40 : 0);
      gotUp += body;
      if (body.length > 0) session.grant(body.length);
      if (!result.value.more) upDone = true;
    } else {
      gotDown += body;
      if (body.length > 0) session.grant(body.length);
      if (!result.value.more) downDone = true;
    }
  };

  for (let step = 0; step < 20_000 && !(client.ended && server.ended); step += 1) {
    nowMs += 1;
    if (sentUp < up && !client.ended && random() < 0.4) {
      const n = Math.min(up - sentUp, 1 + Math.floor(random() * 30));
      client.write(text(sentUp, n), sentUp + n < up);
      sentUp += n;
    }
    if (upDone || up === 0) {
      if (!headSent && server.inSeq > 0) {
        server.respond({ code: 200, reason: "OK", headers: [] }, "", down > 0);
        headSent = true;
      } else if (headSent && sentDown < down && !server.ended && random() < 0.4) {
        const n = Math.min(down - sentDown, 1 + Math.floor(random() * 30));
        server.write(text(sentDown, n), sentDown + n < down);
        sentDown += n;
      }
    }
    flush();
    if (random() < 0.6) deliver(toServer, server);
    if (random() < 0.6) deliver(toClient, client);
    // Nothing under way and nobody moves: silence, which ends both.
    if (
      step > 5000 ||
      (toServer.frames.length === 0 && toClient.frames.length === 0 && random() < 0.001)
    ) {
      for (const session of [client, server])
        if (nowMs + SESSION_EXPIRE_MS >= session.expiresAtMs && step > 5000) session.forget();
    }
  }
  return { gotUp, gotDown, upDone, downDone, up: text(0, up), down: text(0, down), client, server };
}

describe("given two cores on a link", () => {
  test("when it is slow but in order, then every byte arrives once, in order, within credits, and both end", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(400), fc.nat(400), (seed, up, down) => {
        const result = exchange({ seed, loss: 0, reorder: 0 }, up, down);
        expect(result.gotUp).toBe(result.up);
        expect(result.gotDown).toBe(result.down);
        expect(result.client.ended).toBe(true);
        expect(result.server.ended).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  test("when it loses and reorders packets, then what arrives is an untouched beginning, and both end", () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.nat(300),
        fc.nat(300),
        fc.double({ min: 0, max: 0.2, noNaN: true }),
        fc.double({ min: 0, max: 0.2, noNaN: true }),
        (seed, up, down, loss, reorder) => {
          const result = exchange({ seed, loss, reorder }, up, down);
          expect(result.up.startsWith(result.gotUp)).toBe(true);
          expect(result.down.startsWith(result.gotDown)).toBe(true);
          if (result.downDone) expect(result.gotDown).toBe(result.down);
          expect(result.client.ended).toBe(true);
          expect(result.server.ended).toBe(true);
        },
      ),
      { numRuns: 150 },
    );
  });
});
