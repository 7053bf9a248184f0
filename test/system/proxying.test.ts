import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Backend,
  freePorts,
  HttpStream,
  Installation,
  RawBackend,
  RawClient,
  type RawConnection,
  until,
} from "@pushpin/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";

const get = (path: string, host: string, more = "") =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`;

describe("given clients and backends that speak HTTP in all its forms", () => {
  let good: Backend;
  let raw: RawBackend;
  let installation: Installation;
  let onHead: (head: string, connection: RawConnection) => void;

  beforeAll(async () => {
    const [closed = 0] = await freePorts(1);
    good = await startGripBackend();
    raw = await RawBackend.start((head, connection) => onHead(head, connection));
    installation = await Installation.start({
      routes: [
        `failover.test 127.0.0.1:${closed} ${good.address}`,
        `nobody.test 127.0.0.1:${closed}`,
        `raw-failover.test ${raw.address} ${good.address}`,
        `raw.test ${raw.address}`,
        "self.test test",
        `good.test,path_beg=/inner,path_rem=6 ${good.address}`,
        `good.test ${good.address}`,
      ],
    });
  });

  beforeEach(() => {
    onHead = () => {};
    for (const { socket } of raw.connections.splice(0)) socket.destroy();
  });

  afterAll(async () => {
    await installation?.stop();
    await good?.stop();
    await raw?.stop();
  });

  const client = () => RawClient.open(installation.port);
  const whole = (path: string, host: string, spec = {}) =>
    HttpStream.whole(`${installation.url}${path}`, { ...spec, headers: { Host: host } });

  test("when requests are pipelined, then their responses come in their order", async () => {
    const one = await client();
    const count = 20;
    let bytes = "";
    for (let i = 0; i < count; i += 1) bytes += get(`/answer?size=${1 + i * 37}`, "good.test");
    one.send(bytes);
    const sizes: number[] = [];
    for (let i = 0; i < count; i += 1) sizes.push((await one.response()).body.length);
    expect(sizes).toEqual(Array.from({ length: count }, (_, i) => 1 + i * 37));
    one.close();
  });

  test("when methods and statuses have no body, then none is sent, and the connection goes on", async () => {
    const one = await client();
    onHead = (_head, { socket }) =>
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 500\r\nX-A: b\r\n\r\n");
    one.send("HEAD / HTTP/1.1\r\nHost: raw.test\r\n\r\n");
    const head = await one.response("HEAD");
    expect([head.status, head.headers["content-length"]]).toEqual([200, "500"]);
    for (const status of [204, 304]) {
      one.send(get(`/answer?status=${status}`, "good.test"));
      expect((await one.response()).status).toBe(status);
    }
    one.send(get("/answer?size=3", "good.test"));
    expect((await one.response()).body).toBe("xxx");
    expect(one.text).toBe("");
    one.close();
  });

  test("when one connection carries many requests with bodies, then each has its own answer", async () => {
    const one = await client();
    for (const body of ["first", "", "third, longer"]) {
      one.send(
        `POST /echo HTTP/1.1\r\nHost: good.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      expect((await one.response()).body).toBe(body);
    }
    one.send("POST /echo HTTP/1.1\r\nHost: good.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    one.send("5\r\nhello\r\n7;ext=1\r\n, world\r\n0\r\nTrailer: x\r\n\r\n");
    expect((await one.response()).body).toBe("hello, world");
    one.close();
  });

  test("when a client waits for 100-continue, then it is told to go on", async () => {
    const one = await client();
    one.send(
      "POST /echo HTTP/1.1\r\nHost: good.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    expect((await one.response()).status).toBe(100);
    one.send("body");
    expect((await one.response()).body).toBe("body");
    one.close();
  });

  test("when a client speaks HTTP/1.0, then the connection ends after the body, or stays if asked", async () => {
    const one = await client();
    one.send("GET /answer?size=4 HTTP/1.0\r\nHost: good.test\r\nConnection: keep-alive\r\n\r\n");
    expect((await one.response()).body).toBe("xxxx");
    one.send("GET /answer?size=2 HTTP/1.0\r\nHost: good.test\r\n\r\n");
    const last = await one.response();
    expect([last.status, last.body]).toEqual([200, "xx"]);
    expect(last.headers["transfer-encoding"]).toBeUndefined();
    await one.ended();
  });

  test("when a backend's response has no end but the connection's, then the client gets all of it", async () => {
    onHead = (_head, { socket }) => socket.end("HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nuntil the end");
    const response = await whole("/", "raw.test");
    expect([response.status, response.text, response.end]).toEqual([
      200,
      "until the end",
      "complete",
    ]);
  });

  test("when a backend sends piece by piece, then each piece goes on at once", async () => {
    onHead = (_head, { socket }) =>
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    const stream = await HttpStream.open(installation.url, { headers: { Host: "raw.test" } });
    await stream.received("one");
    const [connection] = raw.connections;
    connection?.socket.write("3\r\ntwo\r\n");
    await stream.received("onetwo");
    connection?.socket.write("0\r\n\r\n");
    expect(await stream.finished()).toBe("complete");
  });

  test("when a client uploads beyond the prefetch piece by piece, then the backend sees it come", async () => {
    const one = await client();
    one.send("POST /up HTTP/1.1\r\nHost: raw.test\r\nContent-Length: 40000\r\n\r\n");
    one.send("a".repeat(20_000));
    await until("the first half", () => (raw.connections[0]?.text.length ?? 0) > 20_000);
    expect(raw.connections[0]?.text).not.toContain("b".repeat(100));
    one.send("b".repeat(20_000));
    await until("the second half", () => raw.connections[0]?.text.endsWith("b".repeat(20_000)));
    raw.connections[0]?.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await one.response()).body).toBe("ok");
    one.close();
  });

  test("when a client goes away, then the backend's connection does too", async () => {
    onHead = (_head, { socket }) =>
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    const stream = await HttpStream.open(installation.url, { headers: { Host: "raw.test" } });
    await stream.received("one");
    stream.close();
    await until("the backend's connection to end", () => raw.connections[0]?.isEnded);
  });

  test("when the first target is refused, then the second answers, also to a request with a body", async () => {
    expect((await whole("/answer?size=7", "failover.test")).text).toBe("xxxxxxx");
    const posted = await whole("/echo", "failover.test", { method: "POST", body: "kept" });
    expect(posted.text).toBe("kept");
  });

  test("when nobody can be reached or no route matches, then it says so", async () => {
    const nobody = await whole("/", "nobody.test");
    expect([nobody.status, nobody.text]).toEqual([502, "Error while proxying to origin.\n"]);
    const unknown = await whole("/", "unknown.test");
    expect(unknown.status).toBe(502);
    expect(unknown.text).toMatch(/route/i);
    expect((await whole("/", "self.test")).status).toBe(200);
  });

  test("when a route edits the path, then the backend sees the edited one", async () => {
    await whole("/inner/echo?a=b", "good.test");
    expect(good.requests.at(-1)?.url).toBe("/echo?a=b");
  });

  test("when a request reaches a backend, then it is signed and names what we can", async () => {
    await whole("/echo?signed", "good.test");
    const headers = good.requests.at(-1)?.headers ?? {};
    expect(headers["grip-sig"]).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(headers["grip-feature"]).toContain("link:next");
    expect(headers["host"]).toBe("good.test");
  });

  const GARBAGE: readonly (readonly [string, string])[] = [
    ["no HTTP at all", "garbage garbage garbage\r\n\r\n"],
    ["nothing", ""],
    ["half a head", "HTTP/1.1 200 OK\r\nContent-Le"],
    ["a status that is none", "HTTP/1.1 999999 Strange\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    ["an endless head", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(200_000)}\r\n\r\n`],
    ["a header with a control byte", "HTTP/1.1 200 OK\r\nX: a\u0000b\r\nContent-Length: 0\r\n\r\n"],
    ["an upgrade nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
  ];
  test.each(GARBAGE)("when a backend answers %s, then the client gets a 502", async (_, bytes) => {
    onHead = (_head, { socket }) => socket.end(Buffer.from(bytes, "latin1"));
    expect((await whole("/", "raw.test")).status).toBe(502);
  });

  const BROKEN: readonly (readonly [string, string])[] = [
    ["shorter than announced", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"],
    ["with a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n"],
    ["without its last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"],
  ];
  test.each(BROKEN)(
    "when a response is %s, then the client can see that it is not whole",
    async (_, bytes) => {
      onHead = (_head, { socket }) => socket.end(bytes);
      const one = await client();
      one.send(get("/", "raw.test"));
      await one.ended();
      expect(one.text).toMatch(/^HTTP\/1\.1 (?:200|502) /);
      if (one.text.startsWith("HTTP/1.1 200")) {
        expect(one.text).not.toMatch(/\r\n0\r\n\r\n$/);
        expect(one.text).not.toMatch(/content-length: 5\r\n/i);
      }
    },
  );

  test("when a kept connection is closed by the backend, then the next request is answered all the same", async () => {
    onHead = (_head, { socket }) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for (let round = 0; round < 10; round += 1) {
      expect((await whole("/", "raw.test")).text).toBe("ok");
      for (const { socket } of raw.connections) socket.end();
    }
  });

  test("when a hundred clients come at once, then each gets its own answer", async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        whole("/echo", "good.test", { method: "POST", body: `client ${i}` }),
      ),
    );
    expect(answers.map((one) => one.text)).toEqual(
      Array.from({ length: 100 }, (_, i) => `client ${i}`),
    );
  });

  test("when the routes file is broken from end to end, then what is right in it is in force", async () => {
    const file = join(installation.directory, "routes");
    const lines = [
      "\u0000\u0001\u0002",
      ",,,,",
      "host",
      '"unclosed 127.0.0.1:1',
      "bad.test not-a-target",
      "bad.test 127.0.0.1:99999",
      "bad.test,path_rem=x 127.0.0.1:1",
      "x".repeat(100_000),
      `fixed.test ${good.address}`,
    ];
    writeFileSync(`${file}.new`, lines.join("\n"));
    renameSync(`${file}.new`, file);
    await until("the new route", async () => (await whole("/echo", "fixed.test")).status === 200);
    await until("complaints", () => /routes:\d+: /.test(installation.runner.output));
    expect(installation.runner.output).not.toMatch(/Exited unexpectedly/);
  });
});
