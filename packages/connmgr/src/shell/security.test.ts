import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Connmgr, eventually, startConnmgr } from "../../../../test/connmgr/fixture.ts";
import {
  BODIES,
  chunked,
  FRAMES,
  get,
  HEADS,
  post,
  SMUGGLED,
} from "../../../../test/connmgr/hostile-input.ts";

let connmgr: Connmgr;
beforeAll(async () => {
  connmgr = await startConnmgr({
    onSession: (session) => {
      if (session.first.uri.startsWith("ws")) {
        session.send({ code: 101, credits: 1_000_000_000 });
        return;
      }
      session.send({ type: "credit", credits: 1_000_000 });
      if (!session.first.more) session.respond(200, "ok");
    },
  });
});
afterAll(() => connmgr.stop());

/** Sends the bytes and the smuggled request; the statuses and what the handler got. */
async function attack(bytes: string): Promise<{ statuses: number[]; uris: string[] }> {
  const before = connmgr.sessions.length;
  await using client = await connmgr.client();
  client.send(bytes + SMUGGLED);
  const text = await client.closed();
  const statuses = [...text.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map((one) => Number(one[1]));
  const uris = connmgr.sessions.slice(before).map((one) => one.first.uri);
  expect(uris.filter((one) => one.includes("smuggled"))).toEqual([]);
  return { statuses, uris };
}

describe("given a hostile head", () => {
  test.each(HEADS)(
    "operations H7-H15: when it is %s, then it is refused and nothing follows",
    async (_, bytes, status) => {
      const { statuses, uris } = await attack(bytes);
      expect(statuses).toEqual([status]);
      expect(uris).toEqual([]);
    },
  );
});

describe("given a hostile chunked body", () => {
  test.each(BODIES)(
    "operations H14: when it has %s, then it is refused and nothing follows",
    async (_, body) => {
      const before = connmgr.sessions.length;
      const { statuses } = await attack(chunked(body));
      expect(statuses).toEqual([400]);
      const session = connmgr.sessions[before];
      await eventually(() => session?.last?.type === "cancel");
    },
  );

  test.each(BODIES)(
    "operations H14: when %s comes byte by byte, then it is refused as well",
    async (_, body) => {
      await using client = await connmgr.client();
      client.socket.setNoDelay(true);
      client.send(chunked(""));
      for (const piece of body.match(/[^]{1,40}/g) ?? []) {
        client.send(piece);
        if (!client.isOpen) break;
        await new Promise((resolve) => setImmediate(resolve));
      }
      client.send(SMUGGLED);
      expect(await client.closed()).toMatch(/^HTTP\/1.1 400 /);
      expect(connmgr.sessions.some((one) => one.first.uri.includes("smuggled"))).toBe(false);
    },
  );
});

describe("given hostile frames", () => {
  test.each(FRAMES)(
    "operations W8: when it is %s, then the close code is right and the handler gets a cancel",
    async (_, bytes, code) => {
      const before = connmgr.sessions.length;
      await using client = await connmgr.client();
      client.upgrade();
      await client.until("\r\n\r\n");
      client.take();
      client.bytes(Buffer.concat([bytes, Buffer.from(SMUGGLED)]));
      const text = await client.closed();
      expect(text.charCodeAt(0)).toBe(0x88);
      expect(text.charCodeAt(2) * 256 + text.charCodeAt(3)).toBe(code);
      const session = connmgr.sessions[before];
      await eventually(() => session?.last?.type === "cancel");
      expect(connmgr.sessions).toHaveLength(before + 1);
    },
  );
});

describe("given requests that end the connection", () => {
  test.each([
    ["CL.0 behind close", post("Connection: close\r\n"), 200],
    ["a WebSocket that is refused", get("Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n"), 400],
    ["HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 200],
    ["Connection: cLoSe", get("Connection: cLoSe\r\n"), 200],
    ["close in a list", get("Connection: x, close ,y\r\n"), 200],
    ["close in a second field", get("Connection: x\r\nConnection: close\r\n"), 200],
  ])("operations H4: when it is %s, then nothing behind it is served", async (_, bytes, status) => {
    const { statuses } = await attack(bytes);
    expect(statuses).toEqual([status]);
  });

  test("when the refused client goes on sending without end, then it is cut", async () => {
    await using client = await connmgr.client();
    client.send("BAD\r\n\r\n");
    await client.until("400");
    const flood = setInterval(() => client.send("x".repeat(200_000)), 1);
    await eventually(() => client.isClosed || client.isEnded);
    clearInterval(flood);
    await eventually(() => connmgr.engine.connections === 0);
  });
});

describe("given random bytes", () => {
  test("when they come as heads, then every connection ends without a request", async () => {
    let seed = 12_345;
    const random = () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed / 2 ** 31;
    };
    const parts = [
      "GET",
      " ",
      "/",
      "HTTP/1.1",
      "\r\n",
      "\n",
      "\r",
      ":",
      "Host",
      "a",
      "\0",
      "\t",
      "Content-Length",
      "5",
      "Transfer-Encoding",
      "chunked",
    ];
    for (let round = 0; round < 100; round += 1) {
      let bytes = "";
      for (let i = 0; i < 20; i += 1) bytes += parts[Math.floor(random() * parts.length)];
      await using client = await connmgr.client();
      client.send(`X${bytes}\r\n\r\n`);
      expect(await client.closed()).toMatch(/^HTTP\/1.1 4\d\d /);
    }
  });
});
