import { createSecureServer, type Http2Session } from "node:http2";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { Packet } from "@pushpin/zhttp";
import { until } from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CERTIFICATE, KEY } from "../../../test/httpclient/certificate.ts";
import { FakeInitiator, type FakeSession } from "../../../test/httpclient/fake-initiator.ts";
import { OK, RawBackend } from "../../../test/httpclient/raw-backend.ts";

/** Rounds of each test; every round opens sessions that do anything at all. */
const ROUNDS = 25;
const SESSIONS = 12;

let seed = 1234;
/** The same numbers each time, so that a find can be found again. */
function random(below: number): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return Math.floor((seed / 4_294_967_296) * below);
}
const pick = <T>(...values: readonly T[]): T => values[random(values.length)] as T;
const bytes = (): Buffer => Buffer.alloc(random(3) * random(40_000), random(256));

let proxy: FakeInitiator;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  proxy = await FakeInitiator.start({ http2: true, connectTimeoutMs: 2000 });
});
afterAll(async () => {
  await proxy.stop();
  for (const cleanup of cleanups) await cleanup();
});

/** Pieces of what a backend may say, in any order. */
const PIECES = [
  OK,
  "HTTP/1.1 200 OK\r\n",
  "HTTP/1.1 103 Early\r\n\r\n",
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
  "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
  "HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno!",
  "Transfer-Encoding: chunked\r\n",
  "Content-Length: 5\r\n",
  "Connection: close\r\n",
  "\r\n",
  "5\r\nhello\r\n",
  "0\r\n\r\n",
  "\x81\x02hi",
  "\x88\x00",
  "\x89\x01x",
  "\xff\xfe\0",
] as const;

async function randomBackend(): Promise<string> {
  const one = await RawBackend.start((socket: Socket) => {
    for (let i = random(5); i > 0; i -= 1) socket.write(pick(...PIECES), "latin1");
    const last = random(6);
    if (last === 0) socket.end();
    else if (last === 1) socket.resetAndDestroy();
    else if (last > 3) setImmediate(() => socket.destroyed || socket.write(OK));
  });
  cleanups.push(() => one.stop());
  return `127.0.0.1:${one.port}`;
}

async function randomHttp2Backend(): Promise<string> {
  const sessions = new Set<Http2Session>();
  const server = createSecureServer({ cert: CERTIFICATE, key: KEY });
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
  });
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    const acts = [
      () => stream.headersSent || stream.respond({ ":status": pick(200, 204, 302, 403) }),
      () => stream.headersSent || stream.additionalHeaders({ ":status": 103 }),
      () => stream.headersSent && stream.write(bytes()),
      () => stream.end(),
      () => stream.close(random(14)),
      () => stream.session?.goaway(random(2)),
      () => stream.resume(),
      () => random(5) === 0 && stream.session?.destroy(),
    ];
    try {
      for (let i = random(6); i > 0; i -= 1) pick(...acts)();
    } catch {
      // What does not come next is not said.
    }
    setImmediate(() => stream.destroyed || stream.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const first = (uri: string): Partial<Packet> => ({
  uri,
  method: pick("GET", "POST", "HEAD", "PUT", "DELETE", "PURGE", ""),
  more: pick(true, false),
  body: bytes(),
  credits: pick(0, 1, 1000, 200_000, 200_000),
  followRedirects: pick(true, false),
  ignoreTlsErrors: pick(true, true, true, false),
  headers: pick(
    [],
    ["Content-Length", String(random(50_000))],
    ["X-A", "1", "X-A", "2", "Upgrade", "x"],
    ["a\nb", "c"],
    ["Sec-WebSocket-Key", "x"],
  ),
  ...pick<Partial<Packet>>(
    {},
    {},
    {},
    { timeoutMs: random(20) },
    { maxSize: random(5) },
    { seq: 1 },
  ),
});

const next = (): Partial<Packet> =>
  pick<Partial<Packet>>(
    { body: bytes(), more: true },
    { body: bytes(), more: true },
    { body: bytes() },
    { body: bytes(), contentType: pick("text", "binary", "ping") },
    { type: "credit", credits: random(400_000) },
    { type: "credit", credits: random(400_000) },
    { type: "keep-alive" },
    { type: "ping", body: bytes() },
    { type: "pong" },
    { type: "close", code: random(6000), body: bytes() },
    { type: "handoff-start" },
    { type: "handoff-proceed" },
    { type: "error", condition: "x" },
    { type: "cancel" },
    { seq: random(20) },
  );

describe("given packets and backends that do anything", () => {
  test.each<[scheme: string, to: string, start: () => Promise<string>]>([
    ["http", "bytes", randomBackend],
    ["ws", "bytes", randomBackend],
    ["https", "HTTP/2", randomHttp2Backend],
    ["https", "bytes", randomBackend],
    ["wss", "HTTP/2", randomHttp2Backend],
    [
      "http",
      "nobody",
      async () => {
        // Nobody listens there.
        const server = createServer();
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        const { port } = server.address() as AddressInfo;
        await new Promise((resolve) => server.close(resolve));
        return `127.0.0.1:${port}`;
      },
    ],
  ])(
    "when %s sessions to %s are random, then nothing is thrown, and nothing is left",
    async (scheme, _to, start) => {
      const address = await start();
      for (let round = 0; round < ROUNDS; round += 1) {
        const open: FakeSession[] = [];
        for (let i = 0; i < SESSIONS; i += 1)
          open.push(proxy.open(first(`${scheme}://${address}/`)));
        for (let i = random(30); i > 0; i -= 1) {
          if (random(4) === 0) await new Promise((resolve) => setImmediate(resolve));
          pick(...open).send(next());
        }
        for (const session of open) session.send({ type: "cancel" });
      }
      // Those that never heard of their owner did not get the cancel: they end by themselves.
      for (const exchange of proxy.engine.openExchanges()) exchange.abandon();
      await until("no session to be left", () => proxy.engine.exchangeCount === 0);
      const good = await RawBackend.start((socket) => void socket.write(OK));
      cleanups.push(() => good.stop());
      expect((await proxy.ask(good.uri)).body).toBe("ok");
    },
  );
});
