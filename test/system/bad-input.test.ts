import { connect } from "node:net";
import { join } from "node:path";
import { silentLog } from "@pushpin/log";
import { type Backend, HttpStream, Installation, until } from "@pushpin/testkit";
import { type SocketType, ZmqSocket } from "@pushpin/zmq";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GARBAGE } from "../garbage.ts";
import { startGripBackend } from "../grip-backend.ts";

/** Internal sockets: name of the file, and who may connect to it. */
const INTERNAL: readonly (readonly [string, SocketType])[] = [
  ["connmgr-in", "pub"],
  ["connmgr-out-stream", "router"],
  ["connmgr-client-in", "push"],
  ["connmgr-client-in-stream", "router"],
  ["inspect", "router"],
  ["accept", "router"],
  ["retry", "router"],
  ["ws-control-stream", "router"],
  ["proxy-command", "dealer"],
  ["intreq-in", "push"],
  ["intreq-in-stream", "router"],
];

describe("given an installation and input nobody should send", () => {
  let backend: Backend;
  let installation: Installation;

  beforeAll(async () => {
    backend = await startGripBackend();
    installation = await Installation.start({ routes: [`* ${backend.address}`] });
  });

  afterAll(async () => {
    await installation?.stop();
    await backend?.stop();
  });

  /** A process that ended would have been started again, and said so. */
  const stillFine = async () => {
    expect((await HttpStream.whole(`${installation.url}/echo`)).status).toBe(200);
    const stream = await HttpStream.open(`${installation.url}/stream?channel=fine`);
    await stream.received("[open]");
    await until("an item", async () => {
      await installation.publish({ channel: "fine", formats: { "http-stream": { content: "x" } } });
      return stream.text.includes("x");
    });
    stream.close();
    expect(installation.runner.output).not.toMatch(/exited unexpectedly|is back/i);
  };

  /** Bytes in, everything that comes out until the peer closes. */
  const exchange = (port: number, bytes: Buffer | string) =>
    new Promise<string>((resolve, reject) => {
      let out = "";
      const socket = connect(port, "127.0.0.1", () => socket.end(bytes));
      socket.setTimeout(10_000, () => {
        reject(new Error("neither an answer nor an end"));
        socket.destroy();
      });
      socket.on("data", (data: Buffer) => {
        out += data.toString("latin1");
      });
      socket.on("error", () => {});
      socket.on("close", () => resolve(out));
    });

  const REQUESTS: readonly (readonly [string, string, RegExp])[] = [
    ["no request at all", "garbage\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["a control byte", "GET /\u0001 HTTP/1.1\r\nHost: h\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", /^HTTP\/1\.1 400 /],
    ["length and chunked", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["a huge head", `GET / HTTP/1.1\r\nHost: h\r\nX: ${"x".repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
    ["a bad chunk", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", /^HTTP\/1\.1 400 /],
  ];

  for (const [what, bytes, expected] of REQUESTS)
    test(`when a client sends ${what}, then it is told so`, async () => {
      expect(await exchange(installation.port, bytes)).toMatch(expected);
    });

  test("when a publisher sends what is none, then it is told so", async () => {
    for (const body of ["", "{", "[]", '{"items":1}', '{"items":[{"channel":"a"}]}', "\u0000"]) {
      const response = await fetch(`${installation.controlUrl}/publish/`, { method: "POST", body });
      expect([body, response.status]).toEqual([body, 400]);
    }
    const raw = await exchange(installation.controlPort, "garbage\r\n\r\n");
    expect(raw).toMatch(/^HTTP\/1\.[01] 400 |^$/);
    await stillFine();
  });

  test("when garbage comes over every public ZeroMQ socket, then nobody ends", async () => {
    const tcp = (port: number) => `tcp://127.0.0.1:${port}`;
    await throwGarbage(tcp(installation.pushPort), "push");
    await throwGarbage(tcp(installation.subPort), "pub");
    await throwGarbage(tcp(installation.commandPort), "dealer");
    await stillFine();
  });

  test("when garbage comes over every internal socket, then nobody ends", async () => {
    for (const [name, type] of INTERNAL)
      await throwGarbage(`ipc://${join(installation.directory, "run", `p-${name}`)}`, type);
    await stillFine();
  });

  async function throwGarbage(spec: string, type: SocketType): Promise<void> {
    const socket = await ZmqSocket.open({
      type,
      specs: [spec],
      mode: "connect",
      identity: "garbage",
      lingerMs: 500,
      log: silentLog,
      onMessage: () => {},
    });
    // A ROUTER and a PUB drop what they send before the peer is known to them.
    const rounds = type === "router" || type === "pub" ? 20 : 1;
    for (let round = 0; round < rounds; round += 1) {
      for (const bytes of GARBAGE) {
        socket.send(Buffer.from(bytes));
        socket.send([Buffer.alloc(0), Buffer.from(bytes)]);
        socket.send([Buffer.from("proxy"), Buffer.alloc(0), Buffer.from(bytes)]);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await socket.close();
  }
});
