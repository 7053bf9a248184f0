import { ManualClock } from "@pushpin/clock";
import { toByteString } from "@pushpin/tnetstrings";
import { INITIAL_CREDITS, type Packet, Packet as ZPacket, peerRestarted, Session } from "@pushpin/zhttp";
import { describe, expect, test } from "vitest";
import type { RelayPorts, SessionEnd } from "../relay/ports.ts";
import { RECONNECT_MAX_MS, ReconnectingOrigin } from "./reconnecting-origin.ts";
import type { HeldSocket } from "./socket-anchor.ts";
import { ZwsOrigin } from "./zws-origin.ts";

/** The HTTP client's end of one connection. */
class Keeper {
  readonly packets: Packet[] = [];
  readonly end: SessionEnd;
  #seq = 0;

  constructor(end: SessionEnd) {
    this.end = end;
  }

  send(fields: Partial<Packet>, nowMs = 0): void {
    const packet = Object.assign(new ZPacket(), { from: "httpclient-0-a", id: this.end.session.id }, fields);
    packet.seq = this.#seq;
    this.#seq += 1;
    this.end.packet(packet, packet.seq, nowMs);
  }

  accept(headers: string[] = []): void {
    this.send({ code: 101, headers, credits: INITIAL_CREDITS, batch: true, at: 0 });
  }

  die(): void {
    this.end.packet(peerRestarted(), undefined, 0);
  }

  /** What has come of the client's messages. */
  get messages(): string[] {
    return this.packets
      .filter((one) => one.type !== "credit" && one.seq !== 0)
      .map((one) => `${one.type === "data" ? "" : `${one.type} `}${toByteString(one.body)}${one.more ? "…" : ""}`);
  }
}

function given(before?: { held: HeldSocket; point: { at: number; sent: number; isMid: boolean } }) {
  const clock = new ManualClock();
  const keepers: Keeper[] = [];
  const log: string[] = [];
  let arrived: ((isThere: boolean) => void) | undefined;
  const ports = {
    clock,
    nowMs: () => clock.nowMs(),
    register: (end: SessionEnd) => void keepers.push(new Keeper(end)),
    unregister: () => {},
    pump: (session: Session) => {
      const keeper = keepers.find((one) => one.end.session === session);
      for (let one = session.takePacket(); one !== undefined; one = session.takePacket())
        keeper?.packets.push(one);
    },
    awaitHttpClient: (_id: string, done: (isThere: boolean) => void) => {
      arrived = done;
    },
  } as unknown as RelayPorts;
  let id = 0;
  const origin = new ReconnectingOrigin(
    ports,
    (events, base) => {
      id += 1;
      const session = new Session({
        role: "initiator",
        kind: "websocket",
        from: "proxy-0-a",
        id: String(id),
        nowMs: 0,
        credits: INITIAL_CREDITS,
      });
      return new ZwsOrigin(ports, session, Object.assign(new ZPacket(), { uri: "ws://b/" }), events, base);
    },
    {
      opened: () => void log.push("opened"),
      rejected: (head) => void log.push(`rejected ${head.code}`),
      failed: (condition) => void log.push(`failed ${condition}`),
      message: (_type, body, _more, at) => void log.push(`message ${toByteString(body)} at ${at}`),
      ping: () => {},
      pong: () => {},
      close: (code) => void log.push(`close ${code}`),
      drained: () => {},
      gone: () => void log.push("gone"),
      inMidMessage: () => {},
      stateChanged: () => void log.push(`held ${origin.held?.ref}`),
    },
  );
  const keeper = (number: number) => keepers[number - 1] as Keeper;
  if (before === undefined) {
    origin.open();
    keeper(1).accept();
  } else origin.reclaim(before.held, before.point);
  return { clock, origin, keeper, log, keepers, arrive: (isThere: boolean) => arrived?.(isThere) };
}

describe("given a WebSocket on a route with reconnect, when its HTTP client dies", () => {
  test("then the handshake is repeated, and what was not credited sent again, by whole messages", () => {
    const { origin, keeper, log } = given();
    origin.message("text", "taken", false);
    origin.message("text", "half ", true);
    origin.ping("p");
    origin.message("text", "taken", false);
    keeper(1).send({ type: "credit", credits: "takenhalf ".length });
    keeper(1).die();
    expect(keeper(2).packets.map((one) => one.uri)).toEqual(["ws://b/"]);
    origin.message("binary", "later", false);
    keeper(2).accept();
    expect(keeper(2).messages).toEqual(["half …", "ping p", "taken", "later"]);
    expect(log).toEqual(["opened", "held proxy-0-a 2"]);
    expect(origin.held?.base).toEqual({ up: "taken".length + 1, down: 0 });
    expect(origin.queuedBytes).toBe("half ptakenlater".length);
  });

  test("then the backend's messages go on where those of the connection before ended", () => {
    const { keeper, log } = given();
    keeper(1).send({ body: "abc" });
    keeper(1).die();
    keeper(2).accept();
    keeper(2).send({ body: "de" });
    expect(log).toEqual(["opened", "message abc at 4", "held proxy-0-a 2", "message de at 7"]);
  });

  test("then credits for what the dead one delivered are not given to the next", () => {
    const { origin, keeper } = given();
    keeper(1).send({ body: "abc" });
    keeper(1).die();
    keeper(2).accept();
    keeper(2).send({ body: "de" });
    origin.grant(5);
    const credits = keeper(2).packets.map((one) => one.credits);
    expect(credits).toEqual([INITIAL_CREDITS, 2]);
  });

  test("then attempts that fail are repeated, for a bounded time, and then the client is closed with 1012", () => {
    const { clock, keepers, log } = given();
    keepers.at(-1)?.die();
    for (let ms = 0; ms < RECONNECT_MAX_MS; ms += 100) {
      if (keepers.at(-1)?.end.session.ended === false)
        keepers.at(-1)?.send({ type: "error", condition: "remote-connection-failed" });
      clock.advance(100);
    }
    expect(keepers.length).toBeGreaterThan(10);
    expect(keepers.length).toBeLessThan(30);
    expect(log).toEqual(["opened", "close 1012", "gone"]);
  });

  test("then a refusal of the backend, or another subprotocol, ends it at once", () => {
    const refused = given();
    refused.keeper(1).die();
    refused.keeper(2).send({ type: "error", condition: "rejected", code: 403, headers: [] });
    expect(refused.log).toEqual(["opened", "close 1012", "gone"]);
    const other = given();
    other.keeper(1).die();
    other.keeper(2).accept(["Sec-WebSocket-Protocol", "chat"]);
    expect(other.log).toEqual(["opened", "close 1012", "gone"]);
  });

  test("then it ends where the client has half of a message of the backend's", () => {
    const { keeper, log, keepers } = given();
    keeper(1).send({ body: "ab", more: true });
    keeper(1).die();
    expect(log.slice(2)).toEqual(["close 1012", "gone"]);
    expect(keepers.length).toBe(1);
  });

  test("then a close of the client's goes to the next connection, or is answered where there is none", () => {
    const { origin, keeper } = given();
    keeper(1).die();
    origin.close(4000, "bye");
    keeper(2).accept();
    expect(keeper(2).packets.at(-1)).toMatchObject({ type: "close", code: 4000 });
    const other = given();
    other.keeper(1).die();
    other.origin.close(4000, "bye");
    other.keeper(2).send({ type: "error", condition: "rejected", code: 403, headers: [] });
    expect(other.log).toEqual(["opened", "close 4000", "gone"]);
  });
});

describe("given a WebSocket of a proxy that has died", () => {
  const held = { client: "httpclient-0-a", ref: "proxy-0-z 7", base: { up: 0, down: 10 } };

  test("when its HTTP client is gone too, then the backend is connected again, and gets what was sent again", () => {
    const { origin, keeper, arrive, log } = given({ held, point: { at: 30, sent: 20, isMid: false } });
    origin.message("text", "again", false);
    arrive(false);
    keeper(2).accept();
    expect(keeper(2).messages).toEqual(["again"]);
    expect(origin.held?.base).toEqual({ up: 20, down: 30 });
    expect(log).toEqual(["held proxy-0-a 2"]);
  });

  test("when the backend answers otherwise than it did to that proxy, then the client is closed with 1012", () => {
    const first = given();
    const agreed = first.origin.held?.agreed;
    expect(agreed).toBeDefined();
    const { keeper, arrive, log } = given({ held: { ...held, agreed }, point: { at: 30, sent: 20, isMid: false } });
    arrive(false);
    keeper(2).accept(["Sec-WebSocket-Protocol", "chat"]);
    expect(log).toEqual(["close 1012", "gone"]);
  });

  test("when it is gone too, and only the end of a message is left, then the client is closed with 1012", () => {
    const { arrive, log } = given({ held, point: { at: 30, sent: 20, isMid: true } });
    arrive(false);
    expect(log).toEqual(["close 1012", "gone"]);
  });

  test("when it is there, then it gets only what it has not got, and later losses are made good as before", () => {
    const { origin, keeper, arrive } = given({ held, point: { at: 30, sent: 20, isMid: false } });
    origin.message("text", "one", false);
    arrive(true);
    expect(keeper(1).packets[0]).toMatchObject({ type: "resume", at: 20 });
    keeper(1).send({
      type: "resume",
      at: 26,
      credits: INITIAL_CREDITS - 5,
      ext: new Map([["start", 20], ["window", INITIAL_CREDITS]]),
    });
    origin.message("text", "two", false);
    expect(keeper(1).messages).toEqual(["o"]);
    expect(origin.queuedBytes).toBe(6);
    keeper(1).send({ type: "credit", credits: 3 });
    keeper(1).die();
    keeper(2).accept();
    expect(keeper(2).messages).toEqual(["two"]);
  });
});
