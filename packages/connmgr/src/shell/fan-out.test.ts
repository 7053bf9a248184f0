import { Packet } from "@pushpin/zhttp";
import { afterEach, describe, expect, test, vi } from "vitest";
import {
  type Connmgr,
  type HandlerSession,
  type RawClient,
  startConnmgr,
} from "../../../../test/connmgr/fixture.ts";
import { FAN_OUT_WRITES_MAX } from "../core/write-queue.ts";
import { ClientConnection } from "./client-connection.ts";

const COUNT = FAN_OUT_WRITES_MAX + 44;
const PER_PACKET = 100;

let connmgr: Connmgr;
let clients: RawClient[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const one of clients) one.socket.destroy();
  clients = [];
  await connmgr.stop();
});

async function askAll(): Promise<HandlerSession[]> {
  connmgr = await startConnmgr();
  for (let i = 0; i < COUNT; i += 1) {
    const client = await connmgr.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    clients.push(client);
  }
  await connmgr.session(COUNT - 1);
  return connmgr.sessions;
}

/** One answer to all of them, in packets with id lists. */
function answer(sessions: readonly HandlerSession[], more: boolean): void {
  for (let at = 0; at < sessions.length; at += PER_PACKET) {
    const packet = new Packet();
    packet.from = "handler-1";
    packet.ids = sessions.slice(at, at + PER_PACKET).map(({ first }) => ({ id: first.id, seq: 0 }));
    packet.code = 200;
    packet.reason = "OK";
    packet.headers = more ? [] : ["Content-Length", "5"];
    packet.body = "hello";
    packet.more = more;
    connmgr.engine.packet(packet);
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("given more clients than a turn writes to for a fan-out", () => {
  test("when a piece of their streams comes, then they are written to in several turns, and each gets it", async () => {
    const sessions = await askAll();
    const flush = vi.spyOn(ClientConnection.prototype, "flush");
    answer(sessions, true);
    await turn();
    expect(flush).toHaveBeenCalledTimes(FAN_OUT_WRITES_MAX);
    for (const client of clients) await client.until("hello");
  });

  test("when their whole answer comes, then all are written to in that turn", async () => {
    const sessions = await askAll();
    const written = new Set<ClientConnection>();
    const original = ClientConnection.prototype.flush;
    vi.spyOn(ClientConnection.prototype, "flush").mockImplementation(function (this: ClientConnection) {
      written.add(this);
      original.call(this);
    });
    answer(sessions, false);
    await turn();
    expect(written.size).toBe(COUNT);
    for (const client of clients) await client.until("hello");
  });
});
