import { inflateRawSync, constants } from "node:zlib";
import { ManualClock } from "@pushpin/clock";
import { encodeMaskedFrame, INFLATED_MAX_BYTES, OPCODE, deflatePiece } from "@pushpin/websocket";
import { afterEach, describe, expect, test } from "vitest";
import {
  type Connmgr,
  eventually,
  type HandlerSession,
  type RawClient,
  type StartOptions,
  startConnmgr,
} from "../../../../test/connmgr/fixture.ts";
import { CONTROL_FRAMES_MAX } from "./websocket-client.ts";

const ACCEPTED =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const HANDSHAKE_TEXT =
  'Request contained an Upgrade header with value "websocket" but the request was not a valid WebSocket request.\n';

let connmgr: Connmgr;
afterEach(() => connmgr.stop());

async function start(options: StartOptions = {}): Promise<void> {
  connmgr = await startConnmgr(options);
}

const accept = (session: HandlerSession, fields = {}) =>
  session.send({ code: 101, credits: 100_000, ...fields });

/** A WebSocket that is open on both sides. */
async function open(
  options: StartOptions = {},
  fields = "",
): Promise<{ client: RawClient; session: HandlerSession }> {
  await start(options);
  const client = await connmgr.client();
  client.upgrade(fields);
  const session = await connmgr.session();
  accept(session);
  await client.until("\r\n\r\n");
  client.take();
  return { client, session };
}

const frame = (opcode: 0 | 1 | 2 | 8 | 9 | 10, payload: string | Buffer = "", fin = true) =>
  encodeMaskedFrame(opcode, payload, fin);
const kinds = (session: HandlerSession) =>
  session.packets.map((one) => [one.type, one.body, one.more]);

describe("given a handshake", () => {
  test("operations W1: when it has the key of the RFC, then the answer is exact", async () => {
    await start({ onSession: (session) => accept(session) });
    const client = await connmgr.client();
    client.upgrade();
    expect(await client.until("\r\n\r\n")).toBe(ACCEPTED);
    expect(connmgr.sessions[0]?.first).toMatchObject({
      uri: "ws://a/",
      method: "GET",
      credits: 8192,
    });
    expect(connmgr.sessions[0]?.first.stream).toBe(false);
  });

  test.each([
    ["version 8", "GET", "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: x\r\n"],
    ["no version", "GET", "Sec-WebSocket-Key: x\r\n"],
    ["no key", "GET", "Sec-WebSocket-Version: 13\r\n"],
    ["POST", "POST", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n"],
  ])("operations W2: when it has %s, then 400 says what is wrong", async (_, method, fields) => {
    await start();
    const client = await connmgr.client();
    client.send(`${method} / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n${fields}\r\n`);
    expect(await client.closed()).toBe(
      `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 110\r\n\r\n${HANDSHAKE_TEXT}`,
    );
    expect(connmgr.sessions).toHaveLength(0);
  });

  test.each(["websocket", "WebSocket", "WEBSOCKET"])(
    "operations W3: when Upgrade is %s, then it is a WebSocket",
    async (value) => {
      await start({ onSession: (session) => accept(session) });
      const client = await connmgr.client();
      client.send(
        `GET / HTTP/1.1\r\nHost: a\r\nUpgrade: ${value}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n`,
      );
      await client.until("HTTP/1.1 101");
      expect(connmgr.sessions[0]?.first.uri).toBe("ws://a/");
    },
  );

  test("operations W4: when it is rejected, then the answer has its own length and the next request may follow", async () => {
    await start();
    const client = await connmgr.client();
    client.upgrade();
    const session = await connmgr.session();
    session.send({
      type: "error",
      condition: "rejected",
      code: 403,
      reason: "Forbidden",
      headers: ["X", "y", "Content-Length", "99"],
      body: "nope",
    });
    expect(await client.until("nope")).toBe(
      "HTTP/1.1 403 Forbidden\r\nX: y\r\nContent-Length: 4\r\n\r\nnope",
    );
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    (await connmgr.session(1)).respond(200, "hi");
    await client.until("hi");
  });

  test("operations W4: when frames came before the rejection, then they are no request", async () => {
    await start();
    const client = await connmgr.client();
    client.upgrade();
    const session = await connmgr.session();
    client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    await new Promise((resolve) => setImmediate(resolve));
    session.send({ type: "error", condition: "rejected", code: 403, reason: "Forbidden" });
    await client.closed();
    expect(connmgr.sessions).toHaveLength(1);
  });

  test.each([
    ["an error", { type: "error", condition: "remote-connection-failed" }],
    ["a cancel", { type: "cancel" }],
  ] as const)("operations W4: when %s answers it, then 500 says so", async (_, fields) => {
    await start({ onSession: (session) => session.send(fields) });
    const client = await connmgr.client();
    client.upgrade();
    expect(await client.closed()).toMatch(/^HTTP\/1.1 500 .*Failed to process request.\n$/s);
  });

  test("operations W13: when the acceptance has no credits, then a buffer's worth flows", async () => {
    await start({ onSession: (session) => session.send({ code: 101 }) });
    const client = await connmgr.client();
    client.upgrade();
    await client.until("\r\n\r\n");
    client.bytes(frame(OPCODE.text, "x".repeat(10_000)));
    const session = await connmgr.session();
    await session.until((one) => one.body.length === 8192);
    session.send({ type: "credit", credits: 5000 });
    await session.until((one) => one.body.length === 10_000);
  });

  test.each([
    ["permessage-deflate; client_max_window_bits", "permessage-deflate"],
    [
      "x-other, permessage-deflate; server_no_context_takeover",
      "permessage-deflate; server_no_context_takeover",
    ],
    ["permessage-deflate; server_max_window_bits=10", undefined],
    ["permessage-deflate; server_max_window_bits=10, permessage-deflate", "permessage-deflate"],
  ])("operations W14, W15: when `%s` is offered, then `%s` is agreed on", async (offer, answer) => {
    await start({ allowCompression: true, onSession: (session) => accept(session) });
    const client = await connmgr.client();
    client.upgrade(`Sec-WebSocket-Extensions: ${offer}\r\n`);
    const text = await client.until("\r\n\r\n");
    expect(/^Sec-WebSocket-Extensions: (.*)\r$/m.exec(text)?.[1]).toBe(answer);
  });

  test("operations W16: when the offer is `;;`, then 400", async () => {
    await start({ allowCompression: true });
    const client = await connmgr.client();
    client.upgrade("Sec-WebSocket-Extensions: ;;\r\n");
    expect(await client.closed()).toContain(HANDSHAKE_TEXT);
  });

  test("operations W17: when compression is not allowed, then no offer is taken", async () => {
    await start({ onSession: (session) => accept(session) });
    const client = await connmgr.client();
    client.upgrade("Sec-WebSocket-Extensions: permessage-deflate\r\n");
    expect(await client.until("\r\n\r\n")).toBe(ACCEPTED);
  });
});

describe("given an open WebSocket", () => {
  test("operations W5: when fragments come, then each is a packet", async () => {
    const { client, session } = await open();
    client.bytes(frame(OPCODE.text, "he", false));
    client.bytes(frame(OPCODE.continuation, "ll", false));
    client.bytes(frame(OPCODE.continuation, "o"));
    await session.until((one) => one.last?.more === false);
    expect(kinds(session)).toEqual([
      ["data", "he", true],
      ["data", "ll", true],
      ["data", "o", false],
    ]);
    expect(session.packets[0]?.contentType).toBe("text");
  });

  test("operations W6: when a ping comes between fragments, then both are delivered", async () => {
    const { client, session } = await open();
    client.bytes(frame(OPCODE.binary, "he", false));
    client.bytes(frame(OPCODE.ping, "pp"));
    client.bytes(frame(OPCODE.continuation, "y"));
    await session.until((one) => one.packets.length === 3);
    expect(kinds(session)).toEqual([
      ["data", "he", true],
      ["ping", "pp", false],
      ["data", "y", false],
    ]);
  });

  test("operations W7: when a ping comes, then it is passed on and not answered", async () => {
    const { client, session } = await open();
    client.bytes(frame(OPCODE.ping, "pp"));
    client.bytes(frame(OPCODE.pong, "qq"));
    await session.until((one) => one.packets.length === 2);
    expect(kinds(session)).toEqual([
      ["ping", "pp", false],
      ["pong", "qq", false],
    ]);
    session.send({ type: "pong", body: "pp" });
    session.send({ type: "ping", body: "rr" });
    expect(await client.until("rr")).toBe("\x8a\x02pp\x89\x02rr");
  });

  test.each([
    ["a ping of 126 bytes", Buffer.from([0x89, 0xfe, 0, 126, 0, 0, 0, 0]), 1002],
    ["RSV1 without an agreement", Buffer.from([0xc1, 0x80, 0, 0, 0, 0]), 1002],
    ["opcode 3", Buffer.from([0x83, 0x80, 0, 0, 0, 0]), 1002],
    ["an unmasked frame", Buffer.from([0x81, 1, 0x61]), 1002],
    ["bad UTF-8", Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0xff]), 1007],
    ["a frame of eight exabytes", Buffer.from("82ff7fffffffffffffff", "hex"), 1009],
  ])(
    "operations W8: when %s comes, then it is closed with a code and the handler gets a cancel",
    async (_, bytes, code) => {
      const { client, session } = await open();
      client.bytes(bytes);
      const text = await client.closed();
      expect(text.charCodeAt(0)).toBe(0x88);
      expect(text.charCodeAt(2) * 256 + text.charCodeAt(3)).toBe(code);
      await session.until((one) => one.last?.type === "cancel");
    },
  );

  test("operations W9: when the client closes and the handler answers, then the connection ends", async () => {
    const { client, session } = await open();
    client.bytes(frame(OPCODE.close, Buffer.from("\x03\xe9bye", "latin1")));
    await session.until((one) => one.last?.type === "close");
    expect(session.last).toMatchObject({ code: 1001, body: "bye" });
    session.send({ type: "close", code: 1001, body: "bye" });
    expect(await client.closed()).toBe("\x88\x05\x03\xe9bye");
  });

  test("operations W10: when the handler closes without a code, then 1000 is sent and the client's close awaited", async () => {
    const { client, session } = await open();
    session.send({ type: "close" });
    expect(await client.until("\x88")).toBe("\x88\x02\x03\xe8");
    client.bytes(frame(OPCODE.text, "late"));
    await session.until((one) => one.body === "late");
    expect(client.isOpen).toBe(true);
    client.bytes(frame(OPCODE.close, "\x03\xe8"));
    await client.closed();
  });

  test("operations W10: when the client's close never comes, then the connection ends after a while", async () => {
    const clock = new ManualClock();
    const { client, session } = await open({ clock });
    session.send({ type: "close" });
    await client.until("\x88");
    connmgr.pass(9000);
    expect(connmgr.engine.connections).toBe(1);
    connmgr.pass(2000);
    await client.closed();
  });

  test("operations W11: when the handler sends messages, then they are whole frames, and granted", async () => {
    const { client, session } = await open();
    session.send({ body: "hey" });
    session.send({ body: "\x01", contentType: "binary" });
    expect(await client.until("\x01")).toBe("\x81\x03hey\x82\x01\x01");
    session.send({ body: "x".repeat(5000) });
    await session.until((one) => one.last?.type === "credit");
    expect(session.last?.credits).toBe(5004);
  });

  test("operations W12: when a message comes in two packets, then it is two frames", async () => {
    const { client, session } = await open();
    session.send({ body: "he", more: true });
    session.send({ body: "y" });
    expect(await client.until("y")).toBe("\x01\x02he\x80\x01y");
  });

  test("when the client drops the connection, then the handler gets a cancel", async () => {
    const { client, session } = await open();
    client.socket.destroy();
    await session.until((one) => one.last?.type === "cancel");
  });

  test("when pings come in floods, then it is closed with 1008", async () => {
    const { client, session } = await open({ clock: new ManualClock() });
    client.bytes(
      Buffer.concat(Array.from({ length: CONTROL_FRAMES_MAX + 1 }, () => frame(OPCODE.ping))),
    );
    expect(await client.closed()).toContain("\x03\xf0");
    await session.until((one) => one.last?.type === "cancel");
  });

  test("when more comes than is credited, then reading pauses until credits come", async () => {
    const { client, session } = await open();
    const piece = frame(OPCODE.binary, Buffer.alloc(1_000_000));
    for (let i = 0; i < 30; i += 1) client.bytes(piece);
    await eventually(() => client.socket.writableLength > 0 && session.bodyBytes === 100_000);
    session.send({ type: "credit", credits: 100_000_000 });
    await session.until((one) => one.bodyBytes === 30_000_000);
  });
});

describe("given permessage-deflate", () => {
  const OFFER = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
  const unpack = (bytes: Buffer) =>
    inflateRawSync(Buffer.concat([bytes, Buffer.from([0, 0, 0xff, 0xff])]), {
      finishFlush: constants.Z_SYNC_FLUSH,
    }).toString();

  test("operations W14: when the handler sends, then frames have RSV1 and unpack", async () => {
    const { client, session } = await open({ allowCompression: true }, OFFER);
    session.send({ body: "hello ".repeat(20) });
    await eventually(() => client.text.length > 2);
    const bytes = Buffer.from(client.text, "latin1");
    expect(bytes[0]).toBe(0xc1);
    expect(bytes[1]).toBe(bytes.length - 2);
    expect(unpack(bytes.subarray(2))).toBe("hello ".repeat(20));
  });

  test("operations W14: when a packed message comes, then the handler gets it plain", async () => {
    const { client, session } = await open({ allowCompression: true }, OFFER);
    const packed = frame(OPCODE.text, deflatePiece("hello ".repeat(20), true));
    packed[0] = 0xc1;
    client.bytes(packed);
    await session.until((one) => one.body === "hello ".repeat(20));
  });

  test("when a message unpacks to more than is allowed, then 1009, and nothing of it is passed on", async () => {
    const { client, session } = await open({ allowCompression: true }, OFFER);
    const bomb = frame(OPCODE.binary, deflatePiece(Buffer.alloc(INFLATED_MAX_BYTES + 1), true));
    bomb[0] = 0xc2;
    client.bytes(bomb);
    expect(await client.closed()).toContain("\x03\xf1");
    expect(session.body).toBe("");
  });

  test("when one message goes to many clients, then it is packed once and all get the same bytes", async () => {
    await start({ allowCompression: true });
    const clients: RawClient[] = [];
    for (let i = 0; i < 5; i += 1) {
      const client = await connmgr.client();
      client.upgrade(i === 4 ? "" : OFFER); // the last one takes it as it is
      const session = await connmgr.session(i);
      accept(session);
      await client.until("\r\n\r\n");
      client.take();
      clients.push(client);
    }
    const [first] = connmgr.sessions as [HandlerSession];
    first.send({
      body: "hello ".repeat(20),
      ids: connmgr.sessions.map((one) => ({ id: one.first.id, seq: 1 })),
    });
    await eventually(() => clients.every((one) => one.text.length > 0));
    const texts = clients.map((one) => one.text);
    expect(new Set(texts.slice(0, 4)).size).toBe(1);
    expect(unpack(Buffer.from((texts[0] as string).slice(2), "latin1"))).toBe("hello ".repeat(20));
    expect(texts[4]).toBe(`\x81\x78${"hello ".repeat(20)}`);
  });
});

describe("given the end of the process", () => {
  test("when WebSockets are open, then each is closed with 1001", async () => {
    const { client, session } = await open();
    const stopped = connmgr.stop(600_000);
    expect(await client.closed()).toBe("\x88\x02\x03\xe9");
    client.socket.destroy();
    await stopped;
    await session.until((one) => one.last?.type === "cancel");
  });
});
