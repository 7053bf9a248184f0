import { createHash } from "node:crypto";
import type { AddressInfo, Socket } from "node:net";
import { type Clock, systemClock } from "@pushpin/clock";
import { Packet } from "@pushpin/zhttp";
import { until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { FakeInitiator, type FakeSession } from "../../../test/httpclient/fake-initiator.ts";
import { RawBackend, type Respond } from "../../../test/httpclient/raw-backend.ts";

let proxy: FakeInitiator;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  proxy = await FakeInitiator.start();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
  await until("no session to be left", () => proxy.engine.exchangeCount === 0);
});
afterAll(() => proxy.stop());

interface Pair {
  readonly session: FakeSession;
  readonly socket: WebSocket;
}

/** A backend of `ws`, and a session that it has accepted. */
async function connected(credits = 200_000): Promise<Pair> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", autoPong: false });
  await new Promise((resolve) => server.once("listening", resolve));
  cleanups.push(() => server.close());
  const accepted = new Promise<WebSocket>((resolve) => server.once("connection", resolve));
  const { port } = server.address() as AddressInfo;
  const session = proxy.open({
    uri: `ws://127.0.0.1:${port}/`,
    method: "",
    stream: false,
    credits,
  });
  const socket = await accepted;
  cleanups.push(() => socket.terminate());
  // On a machine with much to do the request is acknowledged before that.
  const answer = await session.next();
  expect(answer).toMatchObject({ code: 101, seq: session.packets.indexOf(answer), credits: 200_000 });
  return { session, socket };
}

async function rawBackend(respond: Respond): Promise<RawBackend> {
  const one = await RawBackend.start(respond);
  cleanups.push(() => one.stop());
  return one;
}

const open = (one: RawBackend, fields: Partial<Packet> = {}): FakeSession =>
  proxy.open({ uri: `ws://127.0.0.1:${one.port}/path`, method: "", stream: false, ...fields });

function accept(head: string): string {
  const key = /sec-websocket-key: (\S+)/i.exec(head)?.[1] ?? "";
  const value = createHash("sha1")
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${value}\r\nX-A: 1\r\n\r\n`;
}

/** Accepts, and writes these bytes right behind. */
const acceptAnd =
  (bytes: string) =>
  (socket: Socket, { text }: { text: string }) =>
    void socket.write(accept(text) + bytes, "latin1");

describe("given a WebSocket handshake", () => {
  test("when it goes out, then its connection headers are our own and the others the client's", async () => {
    const one = await rawBackend(acceptAnd(""));
    const session = open(one, {
      headers: [
        ...["Host", "x", "Upgrade", "websocket", "Connection", "Upgrade, X-B", "X-B", "2"],
        ...["Sec-WebSocket-Key", "theirs", "Sec-WebSocket-Version", "8", "X-A", "1"],
        ...["Sec-WebSocket-Protocol", "chat", "Sec-WebSocket-Extensions", "grip"],
      ],
    });
    const answer = await session.next();
    const text = (one.heads[0]?.text ?? "").replace(/Key: .*\r/, "Key: ours\r");
    expect(text.split("\r\n")).toEqual([
      "GET /path HTTP/1.1",
      `Host: 127.0.0.1:${one.port}`,
      "X-A: 1",
      "Sec-WebSocket-Protocol: chat",
      "Sec-WebSocket-Extensions: grip",
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: ours",
      "",
      "",
    ]);
    expect(answer).toMatchObject({ code: 101, reason: "Switching Protocols" });
    expect(answer.headers?.slice(-2)).toEqual(["X-A", "1"]);
    session.send({ type: "cancel" });
  });

  test.each<[string, Respond]>([
    [
      "accepts with another value",
      (socket, { text }) => void socket.write(accept(text).replace(/Accept: ./, "Accept: !")),
    ],
    [
      "accepts without a value",
      (socket, { text }) => void socket.write(accept(text).replace(/Sec.*\r\n/, "")),
    ],
    ["closes", (socket) => void socket.end()],
    ["resets", (socket) => void socket.resetAndDestroy()],
    ["closes within the head", (socket) => void socket.end("HTTP/1.1 101 Swi")],
    ["speaks no HTTP", (socket) => void socket.write("hello\r\n\r\n")],
    [
      "has a head above the limit",
      (socket) => void socket.write(`HTTP/1.1 101 S\r\nA: ${"x".repeat(70_000)}`),
    ],
    [
      "never ends with 1xx",
      (socket) => {
        const timer = setInterval(() => socket.write("HTTP/1.1 103 Early\r\n\r\n".repeat(9)), 1);
        socket.on("close", () => clearInterval(timer));
      },
    ],
  ])("when the backend %s, then undefined-condition (operations K13)", async (_name, respond) => {
    const one = await rawBackend(respond);
    expect((await open(one).answer()).end).toBe("undefined-condition");
    await until("the connection to close", () => one.sockets[0]?.closed);
  });

  test.each([
    ["with a length", "HTTP/1.1 403 Forbidden\r\nX-A: 1\r\nContent-Length: 4\r\n\r\nnope", false],
    [
      "in chunks",
      "HTTP/1.1 403 Forbidden\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnope\r\n0\r\n\r\n",
      false,
    ],
    ["until the end", "HTTP/1.1 403 Forbidden\r\nX-A: 1\r\n\r\nnope", true],
    ["and breaks off", "HTTP/1.1 403 Forbidden\r\nX-A: 1\r\nContent-Length: 9\r\n\r\nnope", true],
  ])(
    "when it refuses %s, then rejected, with all it said (operations K14)",
    async (_name, bytes, ends) => {
      const one = await rawBackend(
        (socket) => void (ends ? socket.end(bytes) : socket.write(bytes)),
      );
      const packet = await open(one).next();
      expect(packet).toMatchObject({
        type: "error",
        condition: "rejected",
        code: 403,
        reason: "Forbidden",
      });
      expect(packet.headers?.slice(0, 2)).toEqual(["X-A", "1"]);
      expect(String(packet.body)).toBe("nope");
    },
  );

  test("when the refusal is enormous, then its first 100,000 bytes come", async () => {
    const one = await rawBackend((socket) => {
      socket.write(`HTTP/1.1 400 Bad\r\n\r\n${"x".repeat(300_000)}`);
    });
    const packet = await open(one).next();
    expect([packet.condition, packet.code, packet.body.length]).toEqual(["rejected", 400, 100_000]);
    await until("the connection to close", () => one.sockets[0]?.closed);
  });

  test("when nobody listens, then remote-connection-failed", async () => {
    const one = await RawBackend.start(() => {});
    const { port } = one;
    await one.stop();
    const session = proxy.open({ uri: `ws://127.0.0.1:${port}/`, method: "" });
    expect((await session.answer()).end).toBe("remote-connection-failed");
  });

  test("when the client goes before the answer, then the backend connection closes", async () => {
    const one = await rawBackend(() => {});
    const session = open(one);
    await until("the handshake", () => one.heads.length === 1);
    await until("an acknowledgement", () => session.packets.length > 0);
    session.send({ type: "cancel" });
    await until("the connection to close", () => one.sockets[0]?.closed);
  });
});

describe("given a WebSocket", () => {
  test("when messages pass, then their type and bytes stay", async () => {
    const { session, socket } = await connected();
    const got: [string, boolean][] = [];
    socket.on("message", (data: Buffer, binary) => got.push([data.toString("latin1"), binary]));
    session.send({ contentType: "text", body: "h\xc3\xa4" });
    session.send({ contentType: "binary", body: "\0\xff" });
    session.send({ contentType: "text", body: "" });
    await until("three messages", () => got.length === 3);
    expect(got).toEqual([
      ["h\xc3\xa4", false],
      ["\0\xff", true],
      ["", false],
    ]);
    socket.send("hä");
    socket.send(Buffer.from([0, 255]));
    const kinds: unknown[] = [];
    while (kinds.length < 2) {
      const { type, contentType, body } = await session.next();
      if (type !== "credit") kinds.push([contentType, String(body)]);
    }
    // Absent is text.
    expect(kinds).toEqual([
      [expect.stringMatching(/^(text)?$/), "h\xc3\xa4"],
      ["binary", "\0\xff"],
    ]);
    session.send({ type: "cancel" });
  });

  test("when pings and pongs pass, then with their payload", async () => {
    const { session, socket } = await connected();
    const got: string[] = [];
    socket.on("ping", (data) => got.push(`ping ${data}`));
    socket.on("pong", (data) => got.push(`pong ${data}`));
    session.send({ type: "ping", body: "a" });
    session.send({ type: "pong", body: "" });
    await until("both", () => got.length === 2);
    expect(got).toEqual(["ping a", "pong "]);
    socket.ping("b");
    socket.pong("c");
    const kinds: string[] = [];
    while (kinds.length < 2) {
      const { type, body } = await session.next();
      if (type !== "credit") kinds.push(`${type} ${body}`);
    }
    expect(kinds).toEqual(["ping b", "pong c"]);
    session.send({ type: "cancel" });
  });

  test("when a message comes in fragments with a ping between, then it arrives whole", async () => {
    const { session, socket } = await connected();
    const got: string[] = [];
    socket.on("message", (data) => got.push(`${data}`));
    socket.on("ping", (data) => got.push(`ping ${data}`));
    session.send({ contentType: "text", body: "a", more: true });
    session.send({ type: "ping", body: "p" });
    session.send({ contentType: "text", body: "b", more: true });
    session.send({ contentType: "text", body: "c" });
    await until("all", () => got.length === 2);
    expect(got).toEqual(["ping p", "abc"]);
    socket.send("x", { fin: false });
    socket.ping("q");
    socket.send("y", { fin: true });
    const kinds: string[] = [];
    while (kinds.length < 2) {
      const { type, body } = await session.next();
      if (type !== "credit") kinds.push(`${type} ${body}`);
    }
    expect(kinds).toEqual(["ping q", "data xy"]);
    session.send({ type: "cancel" });
  });

  test.each([199_999, 200_000, 200_001, 1_000_000, 5_000_000])(
    "when a message has %i bytes, then it passes both ways",
    async (bytes) => {
      const { session, socket } = await connected();
      const payload = Buffer.alloc(bytes, "0123456789");
      socket.on("message", (data) => socket.send(data as Buffer));
      let credits = 200_000;
      let sent = 0;
      const pieces: Buffer[] = [];
      let received = 0;
      for (let isWhole = false; !isWhole;) {
        while (credits > 0 && sent < bytes) {
          const take = Math.min(credits, bytes - sent, 100_000);
          const body = payload.subarray(sent, sent + take);
          sent += take;
          credits -= take;
          session.send({ contentType: "binary", body, more: sent < bytes });
        }
        const packet = await session.next();
        credits += packet.credits;
        if (packet.type !== "data") continue;
        pieces.push(Buffer.from(packet.body as Uint8Array));
        received += packet.body.length;
        session.send({ type: "credit", credits: packet.body.length });
        isWhole = !packet.more;
      }
      expect(received).toBe(bytes);
      expect(Buffer.concat(pieces).equals(payload)).toBe(true);
      session.send({ type: "cancel" });
    },
  );

  test.each([
    [1000, "bye"],
    [4001, "h\xc3\xa4"],
    [undefined, ""],
  ])("when the proxy closes with %s %j, then the backend sees that", async (code, reason) => {
    const { session, socket } = await connected();
    const closed = new Promise((resolve) => {
      socket.on("close", (...args) => resolve([args[0], args[1].toString("latin1")]));
    });
    session.send({ type: "close", code, body: reason });
    expect(await closed).toEqual([code ?? 1005, reason]);
    expect(await session.next()).toMatchObject({ type: "close", code });
  });

  test.each([
    [1001, "away"],
    [undefined, ""],
  ])("when the backend closes with %s %j, then behind what it sent", async (code, reason) => {
    const { session, socket } = await connected();
    socket.send("last words");
    socket.close(code, reason);
    expect(await session.next()).toMatchObject({ body: "last words" });
    const close = await session.next();
    expect([close.type, close.code, close.body]).toEqual(["close", code, reason]);
    session.send({ type: "close", code, body: reason });
    await until("the socket to close", () => socket.readyState === socket.CLOSED);
  });

  test("when the backend closes and goes while credits are missing, then all of it still comes", async () => {
    const one = await rawBackend((socket, { text }) => {
      socket.write(`${accept(text)}\x81\x04abcd\x88\x02\x03\xe8`, "latin1");
      setImmediate(() => socket.destroySoon());
    });
    const session = open(one, { credits: 2 });
    expect(await session.next()).toMatchObject({ code: 101 });
    expect(await session.next()).toMatchObject({ body: "ab", more: true });
    await until("the connection to close", () => one.sockets[0]?.closed);
    session.send({ type: "credit", credits: 2 });
    expect(await session.next()).toMatchObject({ body: "cd", more: false });
    expect(await session.next()).toMatchObject({ type: "close", code: 1000 });
    session.send({ type: "close", code: 1000 });
  });

  test("when the backend connection breaks, then cancel", async () => {
    const { session, socket } = await connected();
    socket.terminate();
    expect((await session.next()).type).toBe("cancel");
  });

  test("when the session is cancelled, then the backend connection closes", async () => {
    const { session, socket } = await connected();
    session.send({ type: "cancel" });
    await until("the socket to close", () => socket.readyState === socket.CLOSED);
  });

  test("when a packet is missing, then the session is over on both sides", async () => {
    const { session, socket } = await connected();
    session.send({ seq: 7, body: "x" });
    expect((await session.next()).type).toBe("cancel");
    await until("the socket to close", () => socket.readyState === socket.CLOSED);
  });

  test.each([
    ["a masked frame", "\x81\x81abcdx", 1002],
    ["reserved bits", "\xf1\x01x", 1002],
    ["an unknown opcode", "\x83\x01x", 1002],
    ["a continuation of nothing", "\x80\x01x", 1002],
    ["a new message within another", "\x01\x01x\x81\x01y", 1002],
    ["a ping in fragments", "\x09\x01x", 1002],
    ["a ping of 126 bytes", `\x89\x7e\0\x7e${"x".repeat(126)}`, 1002],
    ["text that is no UTF-8", "\x81\x01\xff", 1007],
    ["a close of one byte", "\x88\x01x", 1002],
    ["a close code that must not be sent", "\x88\x02\x03\xee", 1002],
  ])(
    "when the backend sends %s, then it is closed with a code and the session cancelled",
    async (_name, bytes, code) => {
      const one = await rawBackend(acceptAnd(bytes));
      const session = open(one);
      expect(await session.next()).toMatchObject({ code: 101 });
      expect((await session.next()).type).toBe("cancel");
      await until("the connection to close", () => one.sockets[0]?.closed);
      const frame = Buffer.from(one.received[0]?.split("\r\n\r\n")[1] ?? "", "latin1");
      expect(frame.subarray(0, 2)).toEqual(Buffer.from([0x88, 0x82]));
      const mask = frame.subarray(2, 6);
      const unmasked = [...frame.subarray(6, 8)].map((byte, i) => byte ^ (mask[i] as number));
      expect((unmasked[0] as number) * 256 + (unmasked[1] as number)).toBe(code);
    },
  );

  test("when the backend announces an enormous frame, then frame-too-large at once", async () => {
    const one = await rawBackend(acceptAnd("\x82\x7f\0\0\0\x10\0\0\0\0x"));
    const session = open(one);
    expect(await session.next()).toMatchObject({ code: 101 });
    expect(await session.next()).toMatchObject({ type: "error", condition: "frame-too-large" });
    await until("the connection to close", () => one.sockets[0]?.closed);
  });

  test("when credits are missing, then the backend is not read on", async () => {
    const { session, socket } = await connected(1000);
    const piece = Buffer.alloc(100_000);
    const total = 400;
    for (let i = 0; i < total; i += 1) socket.send(piece);
    await session.next();
    let last = -1;
    const left = await until("the backend to stand still", () => {
      const still = last === socket.bufferedAmount;
      last = socket.bufferedAmount;
      return still && last;
    });
    expect(left).toBeGreaterThan(10_000_000);
    session.send({ type: "cancel" });
  });

  test("when the backend does not read, then no credits are granted", async () => {
    const { session, socket } = await connected();
    socket.pause();
    let credits = 200_000;
    let counted = session.packets.length;
    let sent = 0;
    for (let quietSince = performance.now(); performance.now() - quietSince < 300;) {
      for (; credits >= 100_000; credits -= 100_000) {
        session.send({ contentType: "binary", body: Buffer.alloc(100_000) });
        sent += 100_000;
      }
      await new Promise((resolve) => setImmediate(resolve));
      for (; counted < session.packets.length; counted += 1) {
        credits += session.packets[counted]?.credits ?? 0;
        quietSince = performance.now();
      }
      expect(sent).toBeLessThan(50_000_000);
    }
    expect(credits).toBeLessThan(100_000);
    session.send({ type: "cancel" });
  });
});

describe("given WebSockets and the end of things", () => {
  test("when the process stops, then backends hear 1001 and the proxy a cancel", async () => {
    const stopping = await FakeInitiator.start();
    cleanups.push(() => stopping.stop());
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    await new Promise((resolve) => server.once("listening", resolve));
    cleanups.push(() => server.close());
    const closed = new Promise((resolve) => {
      server.once("connection", (socket) => socket.on("close", resolve));
    });
    const { port } = server.address() as AddressInfo;
    const session = stopping.open({ uri: `ws://127.0.0.1:${port}/`, method: "", stream: false });
    expect(await session.next()).toMatchObject({ code: 101 });
    await stopping.engine.stop(0);
    expect(await closed).toBe(1001);
    expect((await session.next()).type).toBe("cancel");
  });

  test("when a handshake is not answered for a minute, then connection-timeout", async () => {
    const clock: Clock = {
      ...systemClock,
      setTimer: (ms, run) => systemClock.setTimer(ms === 60_000 ? 20 : ms, run),
    };
    const late = await FakeInitiator.start({}, clock);
    cleanups.push(() => late.stop());
    const one = await rawBackend(() => {});
    const session = late.open({ uri: `ws://127.0.0.1:${one.port}/`, method: "", stream: false });
    expect((await session.answer()).end).toBe("connection-timeout");
    await until("the connection to close", () => one.sockets[0]?.closed);
  });
});
