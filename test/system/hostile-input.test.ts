import { connect } from "node:net";
import { Backend, Installation, until } from "@pushpin/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { RawClient } from "../connmgr/fixture.ts";
import { BODIES, chunked, FRAMES, HEADS, SMUGGLED } from "../connmgr/hostile-input.ts";

let backend: Backend;
let installation: Installation;
beforeAll(async () => {
  backend = await Backend.start(
    (_request, response) => response.end("ok"),
    (socket) => socket.on("message", () => socket.send("got it")),
  );
  installation = await Installation.start({ routes: [`* ${backend.address}`] });
});
afterAll(async () => {
  await installation?.stop();
  await backend?.stop();
});
beforeEach(() => {
  backend.requests.length = 0;
});

async function exchange(bytes: string | Buffer, until?: string): Promise<string> {
  const client = await RawClient.over(
    connect({ port: installation.port, host: "127.0.0.1", allowHalfOpen: true }),
  );
  client.bytes(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  const text = until === undefined ? await client.closed() : await client.until(until);
  client.socket.destroy();
  return text;
}

/** A good request, after which all that went before has reached the backend if it ever does. */
async function settle(): Promise<void> {
  expect(await exchange("GET /settled HTTP/1.1\r\nHost: a\r\n\r\n", "ok")).toMatch(
    /^HTTP\/1.1 200 /,
  );
}

describe("given everything from clients to a backend", () => {
  test("when every hostile head is sent, then the backend sees no request at all", async () => {
    for (const [name, bytes, status] of HEADS)
      expect(await exchange(bytes + SMUGGLED), name).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    await settle();
    expect(backend.requests.map((one) => one.url)).toEqual(["/settled"]);
  });

  test("when every hostile body is sent, then the backend sees none of them whole, and nothing behind", async () => {
    for (const [name, body] of BODIES)
      expect(await exchange(chunked(body) + SMUGGLED), name).toMatch(/^HTTP\/1.1 400 /);
    await settle();
    expect(backend.requests.map((one) => one.url)).toEqual(["/settled"]);
  });

  test("when every hostile frame is sent, then the clients are closed and others served", async () => {
    const handshake =
      "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for (const [name, bytes] of FRAMES) {
      const text = await exchange(Buffer.concat([Buffer.from(handshake), bytes]));
      expect(text, name).toMatch(/^HTTP\/1.1 101 /);
      expect(text.split("\r\n\r\n")[1]?.charCodeAt(0), name).toBe(0x88);
    }
    await settle();
  });

  const HELLO = "5\r\nhello\r\n0\r\n\r\n";
  test.each([
    [
      "an upgrade to h2c",
      "GET",
      "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
      "",
    ],
    [
      "a length named in Connection",
      "POST",
      "Connection: Content-Length\r\nContent-Length: 5\r\n",
      "hello",
    ],
    [
      "an encoding named in Connection",
      "POST",
      "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
      HELLO,
    ],
    ["Host named in Connection", "GET", "Connection: Host\r\n", ""],
    [
      "fields of the connection",
      "GET",
      "TE: trailers\r\nTrailer: x\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\n",
      "",
    ],
    ["a GET with a body", "GET", "Content-Length: 5\r\n", "hello"],
    [
      "chunks with extensions and trailers",
      "POST",
      "Transfer-Encoding: chunked\r\n",
      "1;a=b\r\nh\r\n4\r\nello\r\n0\r\nX: y\r\n\r\n",
    ],
    ["an expectation", "POST", "Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"],
  ])(
    "when a request has %s, then the backend sees one request with a body of known length, and no more",
    async (_, method, fields, content) => {
      const text = await exchange(
        `${method} /x HTTP/1.1\r\nHost: a\r\n${fields}\r\n${content}`,
        "ok",
      );
      expect(text).toMatch(/^HTTP\/1.1 200 /);
      await until("the request", () => backend.requests.length > 0);
      expect(backend.requests).toHaveLength(1);
      const { url, headers, body } = backend.requests[0] as (typeof backend.requests)[number];
      expect([url, headers.host, body.toString()]).toEqual([
        "/x",
        "a",
        content === "" ? "" : "hello",
      ]);
      for (const name of [
        "upgrade",
        "http2-settings",
        "te",
        "trailer",
        "proxy-connection",
        "expect",
        "x",
      ])
        expect(headers[name], name).toBeUndefined();
      expect(headers.connection ?? "keep-alive").toBe("keep-alive");
    },
  );

  test("when the target is absolute, then its host counts, for route and backend", async () => {
    await exchange("GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", "ok");
    expect(backend.requests.map((one) => [one.url, one.headers.host])).toEqual([["/x", "b"]]);
  });
});
