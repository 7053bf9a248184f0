import type { AddressInfo } from "node:net";
import { ManualClock } from "@pushpin/clock";
import { memoryLog } from "@pushpin/log";
import { until } from "@pushpin/testkit";
import { Packet } from "@pushpin/zhttp";
import type { ResponderSockets } from "@pushpin/zhttp/sockets";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { AddressPolicy, Engine } from "./index.ts";
import { RECLAIM_MAX_MS } from "./shell/engine.ts";

interface Sent {
  readonly to: string;
  readonly packet: Packet;
}

let clock: ManualClock;
let engine: Engine;
let server: WebSocketServer;
let sent: Sent[];

beforeEach(async () => {
  clock = new ManualClock();
  sent = [];
  const sockets = { send: (to: string, packet: Packet) => sent.push({ to, packet }) };
  engine = new Engine(
    {
      instanceId: "httpclient-0-a",
      policy: new AddressPolicy({ defaultPolicy: "allow", allow: [], deny: [], denyInternal: false }),
      http2: false,
      connectTimeoutMs: 5000,
      timeoutMs: 600_000,
      exchangesMax: 10,
    },
    clock,
    memoryLog(),
    () => sockets as unknown as ResponderSockets,
  );
  server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await new Promise((resolve) => server.once("listening", resolve));
});
afterEach(async () => {
  await engine.stop(0);
  for (const one of server.clients) one.terminate();
  await new Promise((resolve) => server.close(resolve));
});

const answered = (to: string, type: string) => sent.some((one) => one.to === to && one.packet.type === type);

/** A WebSocket of the proxy `from`, as far as the backend's 101. */
async function open(from: string): Promise<WebSocket> {
  const accepted = new Promise<WebSocket>((resolve) => server.once("connection", resolve));
  const { port } = server.address() as AddressInfo;
  const uri = `ws://127.0.0.1:${port}/`;
  engine.first(Object.assign(new Packet(), { from, id: "1", seq: 0, uri, credits: 200_000, batch: true }));
  const socket = await accepted;
  await until("the 101", () => answered(from, "data"));
  return socket;
}

/** The proxy `from` asks for what was opened by `of`. */
function reclaim(from: string, of: string): void {
  const packet = Object.assign(new Packet(), { from, id: "1", seq: 0, type: "resume", credits: 200_000, at: 0 });
  packet.ext = new Map([["of", `${of} 1`]]);
  engine.packet(packet);
}

describe("given a backend's WebSocket whose proxy has died", () => {
  test("when successors die as well, then each has its own time to ask for it", async () => {
    engine.proxySeen("proxy-0-a", true);
    const socket = await open("proxy-0-a");
    engine.proxySeen("proxy-0-b", true);
    reclaim("proxy-0-b", "proxy-0-a");
    expect(answered("proxy-0-b", "resume")).toBe(true);
    // The time of those before is over, and says nothing of the one that has it.
    clock.advance(RECLAIM_MAX_MS);
    engine.proxySeen("proxy-0-c", true);
    clock.advance(RECLAIM_MAX_MS - 1);
    reclaim("proxy-0-c", "proxy-0-a");
    expect(answered("proxy-0-c", "resume")).toBe(true);
    expect(answered("proxy-0-c", "cancel")).toBe(false);
    expect(socket.readyState).toBe(socket.OPEN);
  });

  test("when its successor does not ask for it in time, then the backend hears that nobody is there", async () => {
    engine.proxySeen("proxy-0-a", true);
    const socket = await open("proxy-0-a");
    const closed = new Promise<number>((resolve) => socket.once("close", resolve));
    engine.proxySeen("proxy-0-b", true);
    clock.advance(RECLAIM_MAX_MS);
    expect(await closed).toBe(1001);
    reclaim("proxy-0-b", "proxy-0-a");
    expect(answered("proxy-0-b", "cancel")).toBe(true);
  });
});
