import { mkdtemp, rm } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { ManualClock, systemClock } from "@pushpin/clock";
import { until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { CERTIFICATE, KEY } from "../../../test/httpclient/certificate.ts";
import { FakeInitiator } from "../../../test/httpclient/fake-initiator.ts";
import { OK, RawBackend, type Respond } from "../../../test/httpclient/raw-backend.ts";
import { AddressPolicy } from "./index.ts";

let proxy: FakeInitiator;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  proxy = await FakeInitiator.start();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});
afterAll(() => proxy.stop());

async function backend(respond: Respond, path?: string): Promise<RawBackend> {
  const one = await RawBackend.start(respond, path);
  cleanups.push(() => one.stop());
  return one;
}

async function unusedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function tlsBackend(options: object, respond: (socket: TLSSocket) => void): Promise<number> {
  const server = createTlsServer({ cert: CERTIFICATE, key: KEY, ...options });
  server.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    socket.once("data", () => respond(socket));
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

describe("given a backend that answers", () => {
  test("when it is asked, then it sees the request and nothing added but its framing (operations K1)", async () => {
    const one = await backend((socket) => socket.write(OK));
    const { end } = await proxy.ask(`${one.uri}p?q=1`, {
      headers: ["X-A", "1", "Connection", "X-B", "X-B", "2", "Expect", "100-continue"],
    });
    expect(end).toBe("end");
    expect(one.heads[0]?.text).toBe(
      `GET /p?q=1 HTTP/1.1\r\nhost: 127.0.0.1:${one.port}\r\nconnection: keep-alive\r\nX-A: 1\r\n\r\n`,
    );
  });

  test("when it is asked again, then on the same connection (operations K2)", async () => {
    const one = await backend((socket) => socket.write(OK));
    for (let i = 0; i < 3; i += 1) expect((await proxy.ask(one.uri)).body).toBe("ok");
    expect(one.connections).toBe(1);
  });

  test("when the answer is small and there at once, then it costs one packet", async () => {
    const one = await backend((socket) => socket.write(OK));
    // Its time does not pass: otherwise a request that takes long is acknowledged.
    const timeless = await FakeInitiator.start({}, new ManualClock());
    cleanups.push(() => timeless.stop());
    const session = timeless.open({ uri: one.uri });
    const { code, reason, headers, body } = await session.answer();
    expect({ code, reason, headers, body }).toEqual({
      code: 200,
      reason: "OK",
      headers: ["Content-Length", "2"],
      body: "ok",
    });
    expect(session.packets).toHaveLength(1);
  });

  test("when the answer takes its time, then the request is acknowledged", async () => {
    const one = await backend(() => {});
    const session = proxy.open({ uri: one.uri });
    await until("an acknowledgement", () => session.packets.length > 0);
    expect(session.packets[0]).toMatchObject({ type: "keep-alive", seq: 0 });
    session.send({ type: "cancel" });
    await until("the connection to close", () => one.sockets[0]?.closed);
  });

  test.each([
    ["POST", "Content-Length: 0"],
    ["PUT", "Content-Length: 0"],
    ["GET", undefined],
    ["HEAD", undefined],
  ])("when a %s has no body, then its length is %s (operations K3)", async (method, line) => {
    const one = await backend((socket) => socket.write("HTTP/1.1 204 No Content\r\n\r\n"));
    await proxy.ask(one.uri, { method });
    const lengths = /content-length: \d+/i.exec(one.heads[0]?.text ?? "");
    expect(lengths?.[0].toLowerCase()).toBe(line?.toLowerCase());
  });

  test.each(["POST", "GET", "DELETE", "PURGE"])(
    "when a %s has a whole body, then it comes with its true length",
    async (method) => {
      const one = await backend((socket) => socket.write(OK));
      const headers = ["Content-Length", "999"];
      expect((await proxy.ask(one.uri, { method, body: "hello", headers })).code).toBe(200);
      expect(one.received[0]).toContain("content-length: 5\r\n\r\nhello");
    },
  );

  test("when a body is streamed without a length, then it is chunked (operations K4)", async () => {
    const one = await backend((socket, head) => {
      if (!head.text.includes("0\r\n\r\n"))
        socket.on("data", (data) => /\r\n0\r\n\r\n$/.test(`${data}`) && socket.write(OK));
    });
    const session = proxy.open({ uri: one.uri, method: "POST", more: true });
    expect(await session.next()).toMatchObject({ type: "credit", credits: 200_000, seq: 0 });
    session.send({ body: "hello", more: true });
    await until("the first piece", () => one.received[0]?.endsWith("5\r\nhello"));
    session.send({ body: " you" });
    expect((await session.answer()).body).toBe("ok");
    expect(one.received[0]).toContain(
      "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n",
    );
  });

  test("when a body is streamed with a length, then it is sent with that", async () => {
    const one = await backend((socket) => socket.on("data", () => socket.write(OK)));
    const session = proxy.open({
      uri: one.uri,
      method: "PUT",
      more: true,
      headers: ["Content-Length", "9"],
    });
    await session.next();
    session.send({ body: "hello", more: true });
    await until("the first piece", () =>
      one.received[0]?.endsWith("content-length: 9\r\n\r\nhello"),
    );
    session.send({ body: " you" });
    expect((await session.answer()).body).toBe("ok");
  });

  test("when it has only one credit, then one byte of the body comes (operations K11)", async () => {
    const one = await backend((socket) => socket.write(OK));
    const session = proxy.open({ uri: one.uri, credits: 1 });
    expect(await session.next()).toMatchObject({ code: 200, body: "o", more: true });
    session.send({ type: "credit", credits: 1 });
    expect(await session.next()).toMatchObject({ body: "k", more: false });
  });

  test("when it sends 100, 102 and 103 first, then only the response counts (operations K16)", async () => {
    const interim = ["100 Continue", "102 Processing", "103 Early Hints\r\nLink: </a>"];
    const one = await backend((socket) => {
      for (const status of interim) socket.write(`HTTP/1.1 ${status}\r\n\r\n`);
      setImmediate(() => socket.write(OK));
    });
    for (let i = 0; i < 2; i += 1)
      expect(await proxy.ask(one.uri)).toMatchObject({ code: 200, body: "ok", end: "end" });
    expect(one.connections).toBe(1);
  });

  test("when it answers HEAD with a length, then the answer is complete (operations K17)", async () => {
    const one = await backend((socket) =>
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
    );
    const answer = await proxy.ask(one.uri, { method: "HEAD" });
    expect(answer).toMatchObject({ code: 200, body: "", end: "end" });
    expect(answer.headers).toEqual(["Content-Length", "5000"]);
  });

  test("when it answers 304 with a length, then that and the next request are answered (operations K18)", async () => {
    const one = await backend((socket, { connection }) =>
      socket.write(
        connection === 1 ? "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" : OK,
      ),
    );
    expect(await proxy.ask(one.uri)).toMatchObject({ code: 304, body: "", end: "end" });
    expect(await proxy.ask(one.uri)).toMatchObject({ code: 200, body: "ok" });
  });

  test.each([
    ["HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, ""],
    ["HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200, ""],
    ["HTTP/1.1 799 Whatever Else\r\nContent-Length: 0\r\n\r\n", 799, "Whatever Else"],
  ])("when the status line is %j, then it passes", async (bytes, code, reason) => {
    const one = await backend((socket) => socket.write(bytes));
    expect(await proxy.ask(one.uri)).toMatchObject({ code, reason, end: "end" });
  });

  test("when headers repeat and hold any byte, then they pass in order", async () => {
    const one = await backend((socket) =>
      socket.write(
        Buffer.from(
          "HTTP/1.1 200 OK\r\nA: 1\r\nB: \xe4\xff\r\na: 2\r\nContent-Length: 0\r\n\r\n",
          "latin1",
        ),
      ),
    );
    const { headers } = await proxy.ask(one.uri);
    expect(headers).toEqual(["A", "1", "B", "\xe4\xff", "a", "2", "Content-Length", "0"]);
  });

  test("when the body ends with the connection, then it is complete", async () => {
    const one = await backend((socket) => socket.end("HTTP/1.0 200 OK\r\n\r\nall of it"));
    expect(await proxy.ask(one.uri)).toMatchObject({ body: "all of it", end: "end" });
  });

  test("when a session names user data, then every packet echoes it", async () => {
    const one = await backend((socket) => socket.write(OK));
    const { packets } = await proxy.ask(one.uri, { userData: "3:abc," });
    expect(packets.map((packet) => packet.userData)).toEqual(["3:abc,"]);
  });

  test("when it listens on a unix socket, then that is asked", async () => {
    const directory = await mkdtemp(join(tmpdir(), "hc-unix-"));
    cleanups.push(() => rm(directory, { recursive: true, force: true }));
    const path = join(directory, "socket");
    const one = await backend((socket) => socket.write(OK), path);
    const uri = "http://backend.test/";
    expect(await proxy.ask(uri, { connectHost: path })).toMatchObject({ body: "ok" });
    expect(await proxy.ask(uri, { connectHost: path })).toMatchObject({ body: "ok" });
    expect(one.connections).toBe(1);
    expect(one.heads[0]?.text).toContain("host: backend.test\r\n");
    const refused = await proxy.ask(uri, { connectHost: path, ignorePolicies: false });
    expect(refused.end).toBe("policy-violation");
    expect((await proxy.ask(uri, { connectHost: `${path}-none` })).end).toBe(
      "remote-connection-failed",
    );
  });
});

describe("given limits", () => {
  test("when the answer is above max-size, then it is refused", async () => {
    const one = await backend((socket) => socket.write(OK));
    expect((await proxy.ask(one.uri, { maxSize: 1 })).end).toBe("max-size-exceeded");
    expect((await proxy.ask(one.uri, { maxSize: 2 })).body).toBe("ok");
  });

  test("when no answer comes within the timeout of the request, then it ends", async () => {
    const one = await backend(() => {});
    expect((await proxy.ask(one.uri, { timeoutMs: 30 })).end).toBe("session-timeout");
  });

  test("when nothing is transferred for long, then it ends", async () => {
    const one = await backend(() => {});
    const session = proxy.open({ uri: one.uri });
    await until("the request", () => one.heads.length === 1);
    for (const exchange of proxy.engine.openExchanges()) exchange.timeOut();
    expect((await session.answer()).end).toBe("session-timeout");
  });

  test("when too many requests are open, then one more is refused", async () => {
    const small = await FakeInitiator.start({ exchangesMax: 1 });
    cleanups.push(() => small.stop());
    const one = await backend(() => {});
    small.open({ uri: one.uri });
    await until("the first", () => one.heads.length === 1);
    expect((await small.ask(one.uri)).end).toBe("undefined-condition");
  });
});

describe("given a request that cannot be made", () => {
  test("when nobody listens, then remote-connection-failed (operations K5)", async () => {
    const { end } = await proxy.ask(`http://127.0.0.1:${await unusedPort()}/`);
    expect(end).toBe("remote-connection-failed");
  });

  test("when the name is not known, then remote-connection-failed", async () => {
    const { end } = await proxy.ask("http://no-such-host.invalid/");
    expect(end).toBe("remote-connection-failed");
  });

  test.each([
    ["http://127.0.0.1:PORT/"],
    ["http://127.0.0.2:PORT/"],
    ["http://localhost:PORT/"],
    ["http://[::1]:PORT/"],
    ["http://[::ffff:127.0.0.1]:PORT/"],
    ["http://2130706433:PORT/"],
    ["http://0x7f.1:PORT/"],
    ["http://10.1.2.3/"],
    ["http://169.254.169.254/latest"],
    ["ws://127.0.0.1:PORT/"],
  ])("when %s is asked under the policy, then policy-violation (operations K6)", async (uri) => {
    const one = await backend((socket) => socket.write(OK));
    const real = uri.replace("PORT", String(one.port));
    expect((await proxy.ask(real, { ignorePolicies: false })).end).toBe("policy-violation");
    expect(one.connections).toBe(0);
  });

  test.each([
    { uri: "ftp://127.0.0.1/" },
    { uri: "" },
    { uri: "http://" },
    { uri: "http://127.0.0.1/", method: "" },
    { uri: "http://127.0.0.1/", method: "A B" },
    { uri: "http://127.0.0.1/", method: "CONNECT" },
    { uri: "http://a@127.0.0.1/" },
    { uri: "http://127.0.0.1:99999/" },
    { uri: "http://127.0.0.1/a b" },
    { uri: "http://127.0.0.1/a\r\nX: y" },
    { uri: "http://127.0.0.1/", headers: ["X-A", "1\r\nX-B: 2"] },
    { uri: "http://127.0.0.1/", headers: ["X A", "1"] },
    { uri: "http://127.0.0.1/", seq: 3 },
    { uri: "ws://127.0.0.1/a b" },
    { uri: "ws://127.0.0.1/", headers: ["X-A", "1\r\nX-B: 2"] },
  ])("when it is %o, then bad-request (operations K9)", async (fields) => {
    expect((await proxy.open(fields).answer()).end).toBe("bad-request");
  });
});

describe("given redirects and a request that follows them", () => {
  const to = (location: string, code = 302) =>
    `HTTP/1.1 ${code} Moved\r\nLocation: ${location}\r\nContent-Length: 4\r\n\r\nmore`;

  test("when they never end, then after nine requests it is over (operations K7)", async () => {
    const one = await backend((socket) => socket.write(to("/next")));
    const { end } = await proxy.ask(one.uri, { followRedirects: true });
    expect(end).toBe("too-many-redirects");
    expect(one.heads).toHaveLength(9);
  });

  test.each([
    [301, "GET"],
    [302, "GET"],
    [303, "GET"],
    [307, "POST"],
    [308, "POST"],
  ])("when a POST meets %i, then a %s follows (operations K8)", async (code, method) => {
    const one = await backend((socket, { request }) =>
      socket.write(request === 1 ? to("/next?x=1", code) : OK),
    );
    const { body } = await proxy.ask(one.uri, {
      followRedirects: true,
      method: "POST",
      body: "data",
      headers: ["Content-Type", "text/plain", "X-A", "1"],
    });
    expect(body).toBe("ok");
    expect(one.heads[1]?.text.startsWith(`${method} /next?x=1 HTTP/1.1\r\n`)).toBe(true);
    expect(one.heads[1]?.text.includes("Content-Type")).toBe(method === "POST");
    expect(one.received[0]?.endsWith("data")).toBe(method === "POST");
    expect(one.heads[1]?.text).toContain("X-A: 1\r\n");
  });

  test("when one leads to another host, then no secret goes along", async () => {
    const other = await backend((socket) => socket.write(OK));
    const one = await backend((socket) => socket.write(to(`http://localhost:${other.port}/`)));
    const headers = ["Cookie", "a=b", "Authorization", "Basic eA==", "X-A", "1"];
    expect((await proxy.ask(one.uri, { followRedirects: true, headers })).body).toBe("ok");
    expect(one.heads[0]?.text).toContain("Cookie");
    expect(other.heads[0]?.text).not.toMatch(/cookie|authorization/i);
    expect(other.heads[0]?.text).toContain("X-A: 1");
  });

  test("when one leads to an internal address under the policy, then policy-violation", async () => {
    const policy = new AddressPolicy({
      defaultPolicy: "allow",
      allow: ["127.0.0.1"],
      deny: [],
      denyInternal: true,
    });
    const strict = await FakeInitiator.start({ policy });
    cleanups.push(() => strict.stop());
    const one = await backend((socket) => socket.write(to("http://127.0.0.2/")));
    const { end } = await strict.ask(one.uri, { followRedirects: true, ignorePolicies: false });
    expect(end).toBe("policy-violation");
  });

  test("when it does not follow them, then they pass", async () => {
    const one = await backend((socket) => socket.write(to("/next")));
    expect(await proxy.ask(one.uri)).toMatchObject({ code: 302, body: "more" });
  });
});

describe("given TLS", () => {
  test("when the port is plain, then tls-error (operations K12)", async () => {
    for (const answer of ["HTTP/1.1 400 Bad Request\r\n\r\n", ""]) {
      const plain = createServer((socket) => socket.on("data", () => socket.end(answer)));
      await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
      cleanups.push(() => plain.close());
      const { port } = plain.address() as AddressInfo;
      expect((await proxy.ask(`https://127.0.0.1:${port}/`)).end).toBe("tls-error");
    }
  });

  test("when nobody vouches for the certificate, then tls-error, unless that is ignored", async () => {
    const port = await tlsBackend({}, (socket) => socket.write(OK));
    const uri = `https://127.0.0.1:${port}/`;
    expect((await proxy.ask(uri)).end).toBe("tls-error");
    expect((await proxy.ask(uri, { ignoreTlsErrors: true })).body).toBe("ok");
    // The connection that was made without a check is not used with one.
    expect((await proxy.ask(uri)).end).toBe("tls-error");
  });

  test("when a client certificate is given, then the backend sees it", async () => {
    const names: string[] = [];
    const options = { requestCert: true, rejectUnauthorized: false };
    const port = await tlsBackend(options, (socket) => {
      names.push(String(socket.getPeerCertificate().subject?.CN ?? "none"));
      socket.write(OK);
    });
    const fields = { ignoreTlsErrors: true, clientCert: CERTIFICATE, clientKey: KEY };
    const uri = `https://127.0.0.1:${port}/`;
    expect((await proxy.ask(uri, fields)).body).toBe("ok");
    expect((await proxy.ask(uri, { ignoreTlsErrors: true })).body).toBe("ok");
    expect(names).toEqual(["backend.test", "none"]);
    expect((await proxy.ask(uri, { ...fields, clientCert: "nonsense" })).end).toBe("tls-error");
  });

  test("when it is connected elsewhere, then the name of the uri is asked for", async () => {
    const names: unknown[] = [];
    const port = await tlsBackend({}, (socket) => {
      names.push(socket.servername);
      socket.write(OK);
    });
    const fields = { connectHost: "127.0.0.1", connectPort: port, ignoreTlsErrors: true };
    expect((await proxy.ask("https://backend.test/", fields)).body).toBe("ok");
    const trusting = { ...fields, connectHost: "localhost", trustConnectHost: true };
    expect((await proxy.ask("https://backend.test/", trusting)).body).toBe("ok");
    expect(names).toEqual(["backend.test", "backend.test"]);
  });

  test("when HTTP/2 may be spoken and the backend offers it, then it is", async () => {
    const h2 = await FakeInitiator.start({ http2: true });
    cleanups.push(() => h2.stop());
    const seen: string[] = [];
    const server = createSecureServer({ cert: CERTIFICATE, key: KEY, allowHTTP1: true });
    server.on("request", (request, response) => {
      seen.push(`${request.httpVersion} ${request.headers[":authority"] ?? request.headers.host}`);
      request.on("data", () => {});
      request.on("end", () => response.end("body"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const uri = `https://127.0.0.1:${port}/`;
    for (const body of ["", "data"])
      expect(await h2.ask(uri, { ignoreTlsErrors: true, method: "POST", body })).toMatchObject({
        code: 200,
        body: "body",
      });
    expect((await proxy.ask(uri, { ignoreTlsErrors: true })).body).toBe("body");
    expect(seen).toEqual([
      `2.0 127.0.0.1:${port}`,
      `2.0 127.0.0.1:${port}`,
      `1.1 127.0.0.1:${port}`,
    ]);
  });
});

describe("given an address policy", () => {
  const rules = { allow: [], deny: [], denyInternal: false } as const;
  test("when it allows by default, then what is denied and not allowed is blocked", () => {
    const policy = new AddressPolicy({
      ...rules,
      defaultPolicy: "allow",
      deny: ["127.0.0.2", "127.1/16", "*.local", "LOCALHOST2", "bad*.example"],
      allow: ["good.local"],
    });
    for (const host of ["127.0.0.2", "127.1.0.1", "foo.local", "localhost2", "bad1.example"])
      expect([host, policy.permitsHost(host)]).toEqual([host, false]);
    for (const host of ["localhost", "127.0.0.1", "good.local", "local", "example"])
      expect([host, policy.permitsHost(host)]).toEqual([host, true]);
  });

  test("when it denies by default, then only what is allowed and not denied passes", () => {
    const policy = new AddressPolicy({
      ...rules,
      defaultPolicy: "deny",
      allow: ["*.example", "192.0.2.0/24"],
      deny: ["secret.example", "192.0.2.7"],
    });
    expect(policy.permitsHost("a.example")).toBe(true);
    expect(policy.permitsHost("secret.example")).toBe(false);
    expect(policy.permitsHost("192.0.2.6")).toBe(true);
    expect(policy.permitsHost("192.0.2.7")).toBe(false);
    expect(policy.permitsHost("198.51.100.1")).toBe(false);
    expect(policy.permitsAddress("198.51.100.1", "a.example")).toBe(true);
    expect(policy.permitsAddress("198.51.100.1", "b.test")).toBe(false);
    expect(policy.permitsAddress("192.0.2.9", "b.test")).toBe(true);
  });
});

describe("given a session whose end comes from the proxy", () => {
  test("when it is cancelled, then the backend connection closes and nothing is left", async () => {
    const one = await backend((socket) => socket.write("HTTP/1.1 200 OK\r\n\r\npart"));
    const session = proxy.open({ uri: one.uri });
    expect(await session.next()).toMatchObject({ body: "part", more: true });
    session.send({ type: "cancel" });
    await until("the connection to close", () => one.sockets[0]?.closed);
    await until("no session to be left", () => proxy.engine.exchangeCount === 0);
  });

  test("when its peer is silent for 60 s, then the backend connection closes (operations K15)", async () => {
    let nowMs = performance.now();
    const clock = { ...systemClock, nowMs: () => nowMs };
    const late = await FakeInitiator.start({}, clock);
    cleanups.push(() => late.stop());
    const one = await backend(() => {});
    late.open({ uri: one.uri });
    await until("the request", () => one.heads.length === 1);
    nowMs += 60_001;
    await until("the connection to close", () => one.sockets[0]?.closed);
    expect(late.engine.exchangeCount).toBe(0);
  });

  test("when the process stops, then requests on their way end and the others are cancelled", async () => {
    const stopping = await FakeInitiator.start();
    cleanups.push(() => stopping.stop());
    const one = await backend((socket, { text }) => {
      if (text.startsWith("GET /soon")) setTimeout(() => socket.write(OK), 50);
    });
    const soon = stopping.ask(`${one.uri}soon`);
    const never = stopping.ask(`${one.uri}never`);
    await until("both requests", () => one.heads.length === 2);
    const startMs = performance.now();
    await stopping.engine.stop(300);
    expect(performance.now() - startMs).toBeLessThan(2000);
    expect((await soon).body).toBe("ok");
    expect((await never).end).toBe("cancel");
  });
});
