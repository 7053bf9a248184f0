import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type SecureServerOptions,
} from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Packet } from "@pushpin/zhttp";
import { until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { CERTIFICATE, KEY } from "../../../test/httpclient/certificate.ts";
import {
  type Answer,
  FakeInitiator,
  type FakeSession,
} from "../../../test/httpclient/fake-initiator.ts";
import { http2RequestHeaders, http2ResponseHeaders } from "./core/http2-headers.ts";

let proxy: FakeInitiator;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  proxy = await FakeInitiator.start({ http2: true });
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
  await until("no session to be left", () => proxy.engine.exchangeCount === 0);
});
afterAll(() => proxy.stop());

type Respond = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, count: number) => void;

/** A backend that speaks HTTP/2; `respond` is called for each request with its number, from 1. */
class Http2Backend {
  readonly sessions: ServerHttp2Session[] = [];
  readonly sockets: TLSSocket[] = [];
  readonly seen: IncomingHttpHeaders[] = [];
  readonly bodies: string[] = [];
  readonly streams: ServerHttp2Stream[] = [];
  readonly server: Http2SecureServer;

  private constructor(server: Http2SecureServer) {
    this.server = server;
  }

  static async start(respond: Respond, options: SecureServerOptions = {}): Promise<Http2Backend> {
    const server = createSecureServer({
      cert: CERTIFICATE,
      key: KEY,
      maxHeaderListPairs: 3000,
      ...options,
    });
    const backend = new Http2Backend(server);
    server.on("secureConnection", (socket) => {
      backend.sockets.push(socket);
      if (!server.listening) socket.destroy(); // its request was over before the handshake
    });
    server.on("session", (session) => {
      backend.sessions.push(session);
      session.on("error", () => {});
    });
    server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      backend.streams.push(stream);
      const at = backend.seen.push(headers) - 1;
      backend.bodies.push("");
      stream.on("data", (data) => (backend.bodies[at] += String(data)));
      respond(stream, headers, at + 1);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return backend;
  }

  get uri(): string {
    return `https://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

async function backend(respond: Respond, options?: SecureServerOptions): Promise<Http2Backend> {
  const one = await Http2Backend.start(respond, options);
  cleanups.push(() => one.stop());
  return one;
}

const open = (one: Http2Backend, fields: Partial<Packet> = {}): FakeSession =>
  proxy.open({ uri: one.uri, ignoreTlsErrors: true, ...fields });
const ask = (one: Http2Backend, fields: Partial<Packet> = {}): Promise<Answer> =>
  open(one, fields).answer();

const first = (one: Http2Backend): ServerHttp2Stream => one.streams[0] as ServerHttp2Stream;

const ok: Respond = (stream) => {
  stream.respond({ ":status": 200 });
  stream.end("ok");
};

describe("given a backend that offers HTTP/2", () => {
  test("when it is asked many times at once, then all of it goes over one connection", async () => {
    const waiting: ServerHttp2Stream[] = [];
    const one = await backend((stream) => waiting.push(stream));
    const answers = Array.from({ length: 60 }, () => ask(one));
    await until("all requests", () => waiting.length === 60);
    for (const stream of waiting) ok(stream, {}, 0);
    for (const answer of answers) expect(await answer).toMatchObject({ code: 200, body: "ok" });
    expect(one.sessions).toHaveLength(1);
  });

  test("when it takes only so many at a time, then the others go over other connections", async () => {
    const waiting: ServerHttp2Stream[] = [];
    const one = await backend((stream) => waiting.push(stream), {
      settings: { maxConcurrentStreams: 2 },
    });
    const answers = Array.from({ length: 5 }, () => ask(one));
    await until("all requests", () => waiting.length === 5);
    for (const stream of waiting) ok(stream, {}, 0);
    for (const answer of answers) expect((await answer).body).toBe("ok");
    expect(one.sessions).toHaveLength(3);
  });

  test("when a request goes out, then with its headers and nothing added", async () => {
    const one = await backend(ok);
    const headers = ["X-A", "1", "Cookie", "a=b", "X-A", "2", "Cookie", "c=d", "TE", "gzip"];
    await ask(one, {
      uri: `${one.uri}p?q=1`,
      headers: [...headers, "Connection", "X-B", "X-B", "3"],
    });
    expect(Object.fromEntries(Object.entries(one.seen[0] ?? {}))).toEqual({
      ":method": "GET",
      ":scheme": "https",
      ":authority": new URL(one.uri).host,
      ":path": "/p?q=1",
      "x-a": "1, 2",
      cookie: "a=b; c=d",
    });
  });

  test("when a field that may come once comes twice, then its first value goes out", async () => {
    const one = await backend(ok);
    await ask(one, { headers: ["User-Agent", "a", "User-Agent", "b"] });
    expect(one.seen[0]?.["user-agent"]).toBe("a");
  });

  test("when it answers, then status, fields and their order stay, and a reason is found", async () => {
    const one = await backend((stream) => {
      stream.respond({ ":status": 404, "x-b": "\xe4\xff", "set-cookie": ["a=b", "c=d"] }, {
        sendDate: false,
      } as object);
      stream.end();
    });
    const { code, reason, headers } = await ask(one);
    expect([code, reason]).toEqual([404, "Not Found"]);
    expect(headers.slice(0, 6)).toEqual([
      "x-b",
      "\xe4\xff",
      "set-cookie",
      "a=b",
      "set-cookie",
      "c=d",
    ]);
  });

  test.each([
    ["GET", {}, undefined, ""],
    ["POST", {}, "0", ""],
    ["POST", { body: "data" }, "4", "data"],
    ["DELETE", { body: "data" }, "4", "data"],
  ])("when a %s has %j, then its length is %s", async (method, fields, length, body) => {
    const one = await backend((stream) => {
      stream.on("end", () => ok(stream, {}, 0));
      stream.resume();
    });
    expect((await ask(one, { method, ...fields })).body).toBe("ok");
    expect(one.seen[0]?.["content-length"]).toBe(length);
    expect(one.bodies[0]).toBe(body);
  });

  test.each([
    ["HEAD", 200, { "content-length": "5000" }],
    ["GET", 304, { "content-length": "5" }],
    ["GET", 204, {}],
  ])("when a %s is answered by %i, then that is complete", async (method, code, headers) => {
    const one = await backend((stream) => {
      stream.respond({ ":status": code, ...headers }, { endStream: true });
    });
    expect(await ask(one, { method })).toMatchObject({ code, body: "", end: "end" });
  });

  test("when it sends 103 first and trailers last, then only the response counts", async () => {
    const one = await backend((stream) => {
      stream.additionalHeaders({ ":status": 103, link: "</a>" });
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-t": "1" }));
      stream.end("ok");
    });
    expect(await ask(one)).toMatchObject({ code: 200, body: "ok", end: "end" });
  });

  test("when a body is streamed, then it arrives as it comes", async () => {
    const one = await backend((stream) => void stream.on("end", () => ok(stream, {}, 0)));
    const session = open(one, { method: "POST", body: "hello", more: true });
    await until("the first piece", () => one.bodies[0] === "hello");
    session.send({ body: " you" });
    expect((await session.answer()).body).toBe("ok");
    expect(one.bodies[0]).toBe("hello you");
  });

  test.each([
    ["longer", "12345"],
    ["shorter", "1"],
  ])("when a streamed body is %s than announced, then bad-request", async (_name, body) => {
    const one = await backend(() => {});
    const headers = ["Content-Length", "4"];
    const session = open(one, { method: "POST", more: true, headers });
    await session.next();
    session.send({ body });
    expect((await session.answer()).end).toBe("bad-request");
  });

  test("when an upload is answered early, then that is the answer, and the others go on", async () => {
    const one = await backend((stream, _headers, count) => {
      stream.respond({ ":status": count === 1 ? 413 : 200 });
      stream.end("big");
    });
    const session = open(one, { method: "POST", body: "first", more: true });
    expect(await session.answer()).toMatchObject({ code: 413, body: "big", end: "end" });
    expect((await ask(one)).code).toBe(200);
    expect(one.sessions).toHaveLength(1);
  });

  test("when a session is cancelled, then its request is reset and the others go on", async () => {
    const streams: ServerHttp2Stream[] = [];
    const one = await backend((stream) => {
      streams.push(stream);
      stream.respond({ ":status": 200 });
      stream.write("part");
    });
    const [cancelled, second] = [open(one), open(one)];
    for (const session of [cancelled, second])
      expect(await session.next()).toMatchObject({ body: "part" });
    cancelled.send({ type: "cancel" });
    await until("the reset", () => streams.some((stream) => stream.destroyed));
    streams.find((stream) => !stream.destroyed)?.end("!");
    expect((await second.answer()).body).toBe("!");
  });

  test("when credits are missing, then the backend is not read on, and others are not held up", async () => {
    const size = 5_000_000;
    const piece = Buffer.alloc(size, "x");
    const one = await backend((stream, _headers, count) => {
      stream.respond({ ":status": 200 });
      stream.end(count === 1 ? piece : "ok");
    });
    const slow = open(one, { credits: 1000 });
    await slow.next();
    expect((await ask(one)).body).toBe("ok");
    slow.send({ type: "credit", credits: 10 * size });
    const { end } = await slow.answer();
    const bytes = slow.packets.reduce((sum, { body }) => sum + body.length, 0);
    expect([bytes, end]).toEqual([size, "end"]);
  });

  test("when many responses wait for credits, then each arrives whole in the end", async () => {
    const size = 250_000;
    const piece = Buffer.alloc(size, "x");
    const one = await backend(
      (stream) => {
        stream.respond({ ":status": 200 });
        stream.end(piece);
      },
      { settings: { maxConcurrentStreams: 1000 }, maxSessionMemory: 1000 },
    );
    const sessions = Array.from({ length: 90 }, () => open(one, { credits: 10 }));
    for (const session of sessions) expect(await session.next()).toMatchObject({ code: 200 });
    expect(one.sessions).toHaveLength(1);
    for (const session of sessions) session.send({ type: "credit", credits: 2 * size });
    for (const session of sessions) {
      expect((await session.answer()).end).toBe("end");
      expect(session.packets.reduce((sum, { body }) => sum + body.length, 0)).toBe(size);
    }
  });

  test("when it does not read an upload, then no more is credited than fits on the way", async () => {
    const one = await backend((stream, headers, count) => {
      if (count === 1) stream.pause();
      else ok(stream, headers, count);
    });
    const session = open(one, { method: "POST", more: true });
    await until("the request", () => one.seen.length === 1);
    let credits = 200_000;
    let sent = 0;
    for (let i = 0; i < 30; i += 1) {
      for (; credits >= 50_000; credits -= 50_000) {
        session.send({ body: Buffer.alloc(50_000), more: true });
        sent += 50_000;
      }
      // Whatever is credited for what could be sent is, when others have been answered.
      await ask(one);
      credits = 200_000 - sent;
      for (const packet of session.packets.slice(1)) credits += packet.credits;
    }
    expect(credits).toBeLessThan(50_000);
    expect(sent).toBeLessThan(1_000_000);
    session.send({ type: "cancel" });
  });
});

describe("given a backend that ends what it said over HTTP/2", () => {
  test.each<[string, (stream: ServerHttp2Stream, one: () => Http2Backend) => void]>([
    ["resets the response with an error", (stream) => void stream.destroy(new Error("x"))],
    ["resets the response without an error", (stream) => void stream.destroy()],
    ["closes the connection", (_stream, one) => void one().sockets[0]?.destroy()],
    ["says GOAWAY with an error", (stream) => void stream.session?.destroy(new Error("x"))],
  ])("when it %s, then what came is delivered, and an error", async (_name, breakOff) => {
    const one = await backend((stream) => {
      stream.respond({ ":status": 200 });
      stream.write("part");
    });
    const session = open(one);
    expect(await session.next()).toMatchObject({ code: 200, body: "part", more: true });
    breakOff(first(one), () => one);
    expect((await session.answer()).end).toBe("undefined-condition");
  });

  test("when the body is shorter than its length, then an error", async () => {
    const one = await backend((stream) => {
      stream.respond({ ":status": 200, "content-length": "10" });
      stream.end("part");
    });
    expect(await ask(one)).toMatchObject({ code: 200, end: "undefined-condition" });
  });

  test.each<[string, Respond]>([
    ["resets the request", (stream) => void stream.close(8)],
    [
      "never ends with 1xx",
      (stream) => {
        for (let i = 0; i < 20; i += 1) stream.additionalHeaders({ ":status": 103, "x-a": "b" });
      },
    ],
    [
      "has a head above the limit",
      (stream) => void stream.respond({ ":status": 200, "x-a": "x".repeat(70_000) }),
    ],
    [
      "has too many fields",
      (stream) => {
        const fields = Object.fromEntries(Array.from({ length: 1100 }, (_, i) => [`x-${i}`, "v"]));
        stream.respond({ ":status": 200, ...fields });
      },
    ],
    ["breaks off", (stream) => void stream.session?.destroy()],
  ])("when it %s, then undefined-condition", async (_name, respond) => {
    const one = await backend(respond);
    expect((await ask(one)).end).toBe("undefined-condition");
  });

  test("when it refuses a POST once, then that is sent again; when always, then it fails", async () => {
    const one = await backend((stream, headers, count) => {
      if (count === 1 || headers[":path"] === "/never") stream.close(7);
      else ok(stream, headers, count);
    });
    expect((await ask(one, { method: "POST", body: "x" })).body).toBe("ok");
    const never = await ask(one, { uri: `${one.uri}never`, method: "POST", body: "x" });
    expect(never.end).toBe("undefined-condition");
    expect(one.seen).toHaveLength(5);
  });

  test.each([
    ["GET", "end", 3],
    ["POST", "undefined-condition", 2],
  ])(
    "when a connection in use ends and a %s had no answer yet, then %s",
    async (method, end, seen) => {
      const one = await backend((stream, headers, count) => {
        if (count === 2) one.sockets[0]?.destroy();
        else ok(stream, headers, count);
      });
      await ask(one);
      expect((await ask(one, { method })).end).toBe(end);
      expect(one.seen).toHaveLength(seen);
    },
  );

  test("when it says GOAWAY, then what it has begun ends, and the next goes elsewhere", async () => {
    const one = await backend((stream, headers, count) => {
      if (count === 1) {
        stream.respond({ ":status": 200 });
        stream.write("part");
        stream.session?.goaway(0);
      } else ok(stream, headers, count);
    });
    const session = open(one);
    expect(await session.next()).toMatchObject({ body: "part" });
    await until("another connection", async () => {
      expect((await ask(one)).body).toBe("ok");
      return one.sessions.length === 2;
    });
    first(one).end("!");
    expect(await session.answer()).toMatchObject({ body: "!", end: "end" });
  });

  test("when it wants HTTP/1.1 for a request, then it gets that", async () => {
    const one = await backend((stream) => void stream.close(13), { allowHTTP1: true });
    one.server.on("request", (request, response) => {
      if (request.httpVersionMajor === 1) response.end("old");
    });
    expect((await ask(one, { method: "POST", body: "x" })).body).toBe("old");
    expect((await ask(one)).body).toBe("old");
    expect(one.seen).toHaveLength(1);
  });

  test("when it gives no sign of life, then the connection is given up", async () => {
    const one = await backend(() => {});
    const session = open(one);
    await until("the request", () => one.seen.length === 1);
    one.sockets[0]?.pause();
    const nowMs = performance.now();
    for (const laterMs of [10_000, 31_000, 50_000]) proxy.engine.pool.sweep(nowMs + laterMs);
    expect((await session.answer()).end).toBe("undefined-condition");
  });

  test("when it is silent but alive, then the request goes on", async () => {
    const one = await backend((stream) => void stream.on("error", () => {}));
    const session = open(one);
    await until("the request", () => one.seen.length === 1);
    const pings: unknown[] = [];
    one.sessions[0]?.on("ping", () => pings.push(1));
    const nowMs = performance.now();
    proxy.engine.pool.sweep(nowMs + 11_000);
    await until("a ping", () => pings.length === 1);
    // An answer to one more ping has been read when that of the first has.
    await new Promise((resolve) => one.sessions[0]?.ping(resolve));
    for (const laterMs of [22_000, 23_000]) proxy.engine.pool.sweep(nowMs + laterMs);
    ok(first(one), {}, 0);
    expect((await session.answer()).body).toBe("ok");
  });

  test("when nobody has used a connection for a minute, then it is closed", async () => {
    const one = await backend(ok);
    await ask(one);
    proxy.engine.pool.sweep(performance.now() + 60_000);
    await until("the connection to close", () => one.sockets[0]?.destroyed);
    expect((await ask(one)).body).toBe("ok");
  });
});

describe("given a backend that may or may not offer HTTP/2", () => {
  test("when it does not, then all that wait are asked over HTTP/1.1, and connections are kept", async () => {
    const sockets = new Set<Socket>();
    const server = createHttpsServer({ cert: CERTIFICATE, key: KEY }, (request, response) => {
      sockets.add(request.socket);
      response.end("old");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const uri = `https://127.0.0.1:${port}/`;
    const again = async (): Promise<string> =>
      (await proxy.ask(uri, { ignoreTlsErrors: true })).body;
    expect(await Promise.all([again(), again(), again()])).toEqual(["old", "old", "old"]);
    const made = sockets.size; // 3, or less where one was answered before the next was asked
    for (let i = 0; i < 3; i += 1) await again();
    expect(sockets.size).toBe(made);
  });

  test("when nobody listens, then every request that waits hears of it", async () => {
    const one = await Http2Backend.start(() => {});
    const { uri } = one;
    await one.stop();
    const ends = await Promise.all(
      Array.from({ length: 3 }, async () => (await proxy.ask(uri, { ignoreTlsErrors: true })).end),
    );
    expect(ends).toEqual(Array.from({ length: 3 }, () => "remote-connection-failed"));
  });

  test("when a session is cancelled before there is a connection, then nothing is sent for it", async () => {
    const one = await backend(ok);
    const session = open(one, { method: "POST", more: true });
    await session.next();
    session.send({ type: "cancel" });
    expect((await ask(one)).body).toBe("ok");
    await until("no session to be left", () => proxy.engine.exchangeCount === 0);
  });

  test.each([
    { headers: ["X-A", "1\r\nX-B: 2"] },
    { headers: ["X A", "1"] },
    { headers: [":path", "/other"] },
    { headers: ["", "1"] },
  ])("when %o cannot be sent, then bad-request", async (fields) => {
    const one = await backend(ok);
    await ask(one);
    expect((await ask(one, fields)).end).toBe("bad-request");
    expect(one.seen).toHaveLength(1);
  });
});

describe("given header blocks of HTTP/2", () => {
  const line = { method: "GET", path: "/", secure: true };

  test("when names are those of objects, then they are fields like others", () => {
    const block = http2RequestHeaders(
      line,
      ["Host", "a", "__proto__", "x", "constructor", "y"],
      5,
      false,
    );
    expect(Object.entries(block)).toEqual([
      [":method", "GET"],
      [":scheme", "https"],
      [":authority", "a"],
      [":path", "/"],
      ["__proto__", "x"],
      ["constructor", "y"],
      ["content-length", "5"],
    ]);
  });

  test("when a response comes, then what begins with a colon is no field", () => {
    expect(http2ResponseHeaders([":status", "200", "a", "1", "a", "2"])).toEqual([
      "a",
      "1",
      "a",
      "2",
    ]);
  });
});
