import type { AddressInfo } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { CERTIFICATE, KEY } from "../../../test/httpclient/certificate.ts";
import { FakeInitiator } from "../../../test/httpclient/fake-initiator.ts";

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

// Frames of RFC 9113: length, type, flags, stream, payload.
const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PUSH_PROMISE = 5;
const PING = 6;
const GOAWAY = 7;
const WINDOW_UPDATE = 8;
const CONTINUATION = 9;
const END_STREAM = 1;
const END_HEADERS = 4;

function frame(type: number, flags: number, stream: number, payload: Buffer | string = ""): Buffer {
  const body = Buffer.from(payload as string, "latin1");
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

const settings = frame(SETTINGS, 0, 0);
/** A field that is not indexed, name and value below 127 bytes (RFC 7541, 6.2.2). */
const field = (name: string, value: string): string =>
  `\0${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`;
const STATUS_200 = "\x88";
const head = (fields: string, flags = END_HEADERS): Buffer => frame(HEADERS, flags, 1, fields);
const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
/** A field of 4,000 bytes put into the table, then named thousands of times (a bomb). */
const BOMB = Buffer.concat([
  Buffer.from("\x88\x40\x01x\x7f\xa1\x1e", "latin1"),
  Buffer.alloc(4000, "v"),
  Buffer.alloc(12_000, 0xbe),
]);

type Answer = (socket: TLSSocket) => void;

/** A backend that chooses HTTP/2 and answers the first request of a connection with these bytes. */
async function backend(answer: Answer): Promise<string> {
  const sockets: TLSSocket[] = [];
  const server: Server = createServer({ cert: CERTIFICATE, key: KEY, ALPNProtocols: ["h2"] });
  server.on("secureConnection", (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    let seen = Buffer.alloc(0);
    let isAnswered = false;
    socket.on("data", (data) => {
      seen = Buffer.concat([seen, data]);
      // Behind the preface and settings comes a frame with the fields of the request.
      if (isAnswered || !hasRequest(seen)) return;
      isAnswered = true;
      answer(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

function hasRequest(bytes: Buffer): boolean {
  for (let at = 24; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3))
    if (bytes[at + 3] === HEADERS) return true;
  return false;
}

const say =
  (...frames: Buffer[]): Answer =>
  (socket) =>
    void socket.write(Buffer.concat(frames));
const sayAndEnd =
  (...frames: Buffer[]): Answer =>
  (socket) =>
    void socket.end(Buffer.concat(frames));

/** Writes the same again and again for as long as somebody reads it. */
const flood =
  (first: Buffer, again: Buffer): Answer =>
  (socket) => {
    socket.write(first);
    const many = Buffer.concat(Array.from({ length: 1000 }, () => again));
    const more = (): void => {
      while (!socket.destroyed && socket.write(many));
    };
    socket.on("drain", more);
    more();
  };

describe("given a backend that breaks the rules of HTTP/2", () => {
  test.each<[string, Answer]>([
    ["closes", (socket) => void socket.end()],
    ["breaks off", (socket) => void socket.destroy()],
    ["speaks HTTP/1.1", say(Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))],
    ["sends garbage", say(Buffer.alloc(100, 0xee))],
    ["begins without settings", say(head(STATUS_200, END_HEADERS | END_STREAM).fill(1, 5, 6))],
    ["has settings of a wrong length", say(frame(SETTINGS, 0, 0, "12345"))],
    ["has settings on a stream", say(frame(SETTINGS, 0, 1))],
    ["has a window that cannot be", say(frame(SETTINGS, 0, 0, "\0\x04\xff\xff\xff\xff"))],
    ["sends data first", say(settings, frame(DATA, END_STREAM, 1, "x"))],
    ["answers on stream 0", say(settings, frame(HEADERS, END_HEADERS, 0, STATUS_200))],
    ["answers on a stream that is not", say(settings, frame(HEADERS, END_HEADERS, 7, STATUS_200))],
    [
      "pushes",
      say(settings, frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.from("\0\0\0\x02\x82", "latin1"))),
    ],
    ["has a frame above the limit", say(settings, frame(DATA, 0, 1, Buffer.alloc(20_000)))],
    ["has fields that cannot be decoded", say(settings, head("\xff\xff\xff\xff\xff"))],
    [
      "has a continuation of nothing",
      say(settings, frame(CONTINUATION, END_HEADERS, 1, STATUS_200)),
    ],
    [
      "has a frame within the fields",
      say(settings, head(STATUS_200, 0), frame(PING, 0, 0, "12345678")),
    ],
    [
      "never ends its fields",
      flood(
        Buffer.concat([settings, head(STATUS_200, 0)]),
        frame(CONTINUATION, 0, 1, field("a", "b")),
      ),
    ],
    [
      "never ends its fields, which are empty",
      flood(Buffer.concat([settings, head(STATUS_200, 0)]), frame(CONTINUATION, 0, 1)),
    ],
    ["has fields that unfold to megabytes", say(settings, frame(HEADERS, END_HEADERS, 1, BOMB))],
    ["has no status", say(settings, head(field("a", "b"), END_HEADERS | END_STREAM))],
    [
      "has a status of letters",
      say(settings, head(field(":status", "abc"), END_HEADERS | END_STREAM)),
    ],
    ["has two of them", say(settings, head(STATUS_200 + STATUS_200, END_HEADERS | END_STREAM))],
    [
      "has one behind other fields",
      say(settings, head(field("a", "b") + STATUS_200, END_HEADERS | END_STREAM)),
    ],
    ["has a path", say(settings, head(STATUS_200 + field(":path", "/"), END_HEADERS | END_STREAM))],
    [
      "has names in capitals",
      say(settings, head(STATUS_200 + field("Abc", "d"), END_HEADERS | END_STREAM)),
    ],
    [
      "has fields of a connection",
      say(settings, head(STATUS_200 + field("connection", "close"), END_HEADERS | END_STREAM)),
    ],
    [
      "has line ends in a value",
      say(settings, head(STATUS_200 + field("a", "b\r\nc: d"), END_HEADERS | END_STREAM)),
    ],
    [
      "has a NUL in a value",
      say(settings, head(STATUS_200 + field("a", "b\0c"), END_HEADERS | END_STREAM)),
    ],
    ["opens a window too far", say(settings, frame(WINDOW_UPDATE, 0, 0, number(0x7fff_ffff)))],
    ["opens a window by nothing", say(settings, frame(WINDOW_UPDATE, 0, 1, number(0)))],
    ["switches protocols", say(settings, head(field(":status", "101"), END_HEADERS | END_STREAM))],
    [
      "says GOAWAY with an error",
      say(settings, frame(GOAWAY, 0, 0, Buffer.concat([number(1), number(2)]))),
    ],
    ["resets a stream that is not", say(settings, frame(RST_STREAM, 0, 9, number(8)))],
  ])("when it %s, then the request fails, and others go on", async (name, answer) => {
    const uri = await backend(answer);
    const session = proxy.open({ uri, ignoreTlsErrors: true });
    const last = () => session.packets.at(-1)?.type;
    // What is not noticed at once is when a sign of life is missing.
    let nowMs = performance.now();
    await until("its end", () => {
      proxy.engine.pool.sweep((nowMs += 11_000));
      return session.packets.length > 0 && last() !== "keep-alive" && last() !== "credit";
    });
    const { code, end } = await session.answer();
    // A value that cannot be is dropped by the library, and the field with it.
    if (/ in a value$/.test(name) && code === 200) expect(end).toBe("end");
    else expect([code, end]).toEqual([undefined, "undefined-condition"]);
  });

  test.each<[string, Answer]>([
    ["pings", flood(settings, frame(PING, 0, 0, "12345678"))],
    ["changes its settings", flood(settings, settings)],
    ["says what nobody knows", flood(settings, frame(0x77, 0, 0, "x"))],
    ["opens windows", flood(settings, frame(WINDOW_UPDATE, 0, 1, number(1)))],
    ["sends empty data", flood(Buffer.concat([settings, head(STATUS_200)]), frame(DATA, 0, 1))],
  ])(
    "when it %s without an end, then requests to others are answered all the while",
    async (_name, answer) => {
      const uri = await backend(answer);
      const good = await backend(say(settings, head(STATUS_200), frame(DATA, END_STREAM, 1, "ok")));
      const session = proxy.open({ uri, ignoreTlsErrors: true, timeoutMs: 2000 });
      const bytesBefore = process.memoryUsage().rss;
      expect((await proxy.ask(good, { ignoreTlsErrors: true })).body).toBe("ok");
      expect((await session.answer()).end).not.toBe("end");
      expect(process.memoryUsage().rss - bytesBefore).toBeLessThan(300_000_000);
    },
  );
});

describe("given a backend that keeps to the rules of HTTP/2", () => {
  test("when it answers and resets behind its end, then the answer is complete", async () => {
    const uri = await backend(
      say(
        settings,
        head(STATUS_200 + field("a", "b")),
        frame(DATA, END_STREAM, 1, "ok"),
        frame(RST_STREAM, 0, 1, number(0)),
      ),
    );
    const session = proxy.open({
      uri,
      ignoreTlsErrors: true,
      method: "POST",
      body: "x",
      more: true,
    });
    expect(await session.answer()).toMatchObject({ code: 200, body: "ok", end: "end" });
  });

  test("when it answers and closes, then the answer is complete", async () => {
    const uri = await backend(
      sayAndEnd(settings, head(STATUS_200), frame(DATA, END_STREAM, 1, "ok")),
    );
    expect(await proxy.ask(uri, { ignoreTlsErrors: true })).toMatchObject({
      body: "ok",
      end: "end",
    });
  });

  test("when it resets without an error before its end, then the answer is cut", async () => {
    const uri = await backend(
      say(
        settings,
        head(STATUS_200),
        frame(DATA, 0, 1, "part"),
        frame(RST_STREAM, 0, 1, number(0)),
      ),
    );
    expect(await proxy.ask(uri, { ignoreTlsErrors: true })).toMatchObject({
      body: "part",
      end: "undefined-condition",
    });
  });
});
