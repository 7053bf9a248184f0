import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { ManualClock } from "@pushpin/clock";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT, KEY, RENEWED, WILDCARD, WWW } from "../../../../test/connmgr/certificates.ts";
import {
  type Connmgr,
  eventually,
  RawClient,
  type StartOptions,
  startConnmgr,
} from "../../../../test/connmgr/fixture.ts";
import { WAITING_MAX } from "./admission.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ok: StartOptions = { onSession: (session) => session.respond(200, "hi") };

let directory: string;
let connmgr: Connmgr;
const clients: RawClient[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pp-"));
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy();
  await connmgr.stop();
  rmSync(directory, { recursive: true });
});

async function start(options: StartOptions = {}): Promise<void> {
  connmgr = await startConnmgr(options);
}

async function client(): Promise<RawClient> {
  const one = await connmgr.client();
  clients.push(one);
  return one;
}

function certificate(name: string, cert: string): void {
  writeFileSync(join(directory, `${name}.crt`), cert);
  writeFileSync(join(directory, `${name}.key`), KEY);
}

async function startTls(options: StartOptions = {}): Promise<void> {
  await start({ isSecure: true, certificateDirectory: directory, ...ok, ...options });
  certificate(`default_${connmgr.listener.port}`, DEFAULT);
}

/** Shakes hands; the common name of the certificate, or why it failed. */
async function handshake(servername: string, options: ConnectionOptions = {}): Promise<string> {
  const socket = connect({
    host: "127.0.0.1",
    port: connmgr.listener.port,
    servername,
    rejectUnauthorized: false,
    ...options,
  });
  try {
    return await new Promise<string>((resolve, reject) => {
      socket.once("secureConnect", () => resolve(String(socket.getPeerCertificate().subject.CN)));
      socket.once("error", reject);
    });
  } catch (error) {
    return (error as Error).message;
  } finally {
    socket.destroy();
  }
}

function tlsClient(options: ConnectionOptions = {}): Promise<RawClient> {
  const socket: TLSSocket = connect({
    host: "127.0.0.1",
    port: connmgr.listener.port,
    rejectUnauthorized: false,
    ...options,
  });
  return RawClient.over(socket, "secureConnect").then((one) => {
    clients.push(one);
    return one;
  });
}

describe("given certificates by name", () => {
  beforeEach(async () => {
    await startTls();
    certificate("www.example.com", WWW);
    certificate("_.example.org", WILDCARD);
  });

  test.each([
    ["WWW.Example.COM", "www.example.com"],
    ["www.example.com", "www.example.com"],
    ["foo.example.org", "wildcard.example.org"],
    ["a.b.example.org", "default.test"],
    ["example.org", "default.test"],
    ["", "default.test"],
  ])("operations T1, T2, T3: when `%s` is asked for, then %s answers", async (name, common) => {
    expect(await handshake(name)).toBe(common);
  });

  test.each(["../www.example.com", "a/b", ".", "..", "x".repeat(300)])(
    "operations T3: when the name is `%s`, then the default answers",
    async (name) => {
      expect(await handshake(name)).toBe("default.test");
    },
  );

  test("operations T4: when there is neither a match nor a default, then the handshake fails", async () => {
    rmSync(join(directory, `default_${connmgr.listener.port}.crt`));
    expect(await handshake("other.test")).toMatch(/alert|handshake/i);
    expect(await handshake("www.example.com")).toBe("www.example.com");
  });

  test("operations T5: when a certificate is replaced, then the next handshake has it", async () => {
    expect(await handshake("www.example.com")).toBe("www.example.com");
    expect(await handshake("")).toBe("default.test");
    for (const name of ["www.example.com", `default_${connmgr.listener.port}`]) {
      certificate(name, RENEWED);
      utimesSync(join(directory, `${name}.crt`), 2e9, 2e9);
    }
    expect(await handshake("www.example.com")).toBe("renewed.test");
    expect(await handshake("")).toBe("renewed.test");
  });

  test("operations T5: when the new file is broken, then the old certificate stays", async () => {
    expect(await handshake("www.example.com")).toBe("www.example.com");
    writeFileSync(join(directory, "www.example.com.crt"), "no certificate");
    expect(await handshake("www.example.com")).toBe("www.example.com");
    expect(connmgr.log.lines.some((one) => one.includes("certificate not usable"))).toBe(true);
  });
});

describe("given a TLS listener", () => {
  test("operations T6: when a request comes, then its scheme is https", async () => {
    await startTls();
    const one = await tlsClient();
    one.send(GET);
    await one.until("hi");
    expect(connmgr.sessions[0]?.first).toMatchObject({
      uri: "https://a/",
      peerAddress: "127.0.0.1",
    });
  });

  test("operations T6: when a WebSocket is asked for, then its scheme is wss", async () => {
    await startTls();
    const one = await tlsClient();
    one.upgrade();
    expect((await connmgr.session()).first.uri).toBe("wss://a/");
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "when the client speaks %s, then it is served",
    async (version) => {
      await startTls();
      const one = await tlsClient({ minVersion: version, maxVersion: version });
      expect((one.socket as TLSSocket).getProtocol()).toBe(version);
    },
  );

  test("when the client speaks TLS 1.1, then it is not served", async () => {
    await startTls();
    expect(
      await handshake("", {
        minVersion: "TLSv1",
        maxVersion: "TLSv1.1",
        ciphers: "ALL:@SECLEVEL=0",
      }),
    ).toMatch(/protocol|version/i);
  });

  test("when HTTP/2 and HTTP/1.1 are offered, then HTTP/1.1 is chosen", async () => {
    await startTls();
    const one = await tlsClient({ ALPNProtocols: ["h2", "http/1.1"] });
    expect((one.socket as TLSSocket).alpnProtocol).toBe("http/1.1");
  });

  test("when plain HTTP comes, then the connection ends and others are served", async () => {
    await startTls();
    const plain = await client();
    plain.send(GET);
    await plain.closed();
    const one = await tlsClient();
    one.send(GET);
    await one.until("hi");
    expect(connmgr.sessions).toHaveLength(1);
  });
});

describe("given a unix socket", () => {
  test("operations H39: when a request comes, then it has no peer address, and the mode is as asked", async () => {
    const path = join(directory, "socket");
    await start({
      ...ok,
      where: { kind: "local", path, mode: 0o660, user: undefined, group: undefined },
    });
    const one = await RawClient.over(connectPlain(path));
    clients.push(one);
    one.send(GET);
    await one.until("hi");
    expect(connmgr.sessions[0]?.first.peerAddress).toBe("");
    expect(statSync(path).mode & 0o777).toBe(0o660);
  });

  test("operations H39: when a file is in its place, then it is replaced", async () => {
    const path = join(directory, "socket");
    writeFileSync(path, "");
    const where = {
      kind: "local",
      path,
      mode: undefined,
      user: undefined,
      group: undefined,
    } as const;
    await start({ ...ok, where });
    const one = await RawClient.over(connectPlain(path));
    clients.push(one);
    one.send(GET);
    await one.until("hi");
  });

  test("when the user is unknown, then the start fails and says why", async () => {
    await start();
    const where = {
      kind: "local",
      path: join(directory, "s"),
      mode: undefined,
      user: "nosuch",
      group: undefined,
    } as const;
    await expect(startConnmgr({ where })).rejects.toThrow(/failed to set user "nosuch" on /);
  });
});

describe("given addresses", () => {
  test("operations H40: when the client uses IPv6, then its address is given bare", async () => {
    await start({ ...ok, where: { kind: "tcp", host: "::1", port: 0 } });
    const one = await connmgr.client(undefined, "::1");
    clients.push(one);
    one.send(GET);
    await one.until("hi");
    expect(connmgr.sessions[0]?.first.peerAddress).toBe("::1");
  });

  test("operations H35: when the port is taken, then the start fails and says so", async () => {
    await start();
    const where = { kind: "tcp", host: "127.0.0.1", port: connmgr.listener.port } as const;
    await expect(startConnmgr({ where })).rejects.toThrow(
      new RegExp(
        `failed to bind 127.0.0.1:${where.port}: Address already in use \\(os error 98\\)`,
      ),
    );
  });
});

describe("given limits of clients", () => {
  test("operations H33: when all places are taken, then the next client waits unanswered until one goes", async () => {
    await start({ ...ok, connectionsMax: 2 });
    const first = await client();
    const second = await client();
    for (const one of [first, second]) {
      one.send(GET);
      await one.until("hi");
    }
    const third = await client();
    third.send(GET);
    second.take();
    second.send(GET);
    await second.until("hi"); // a round trip later
    expect(third.text).toBe("");
    expect(connmgr.sessions).toHaveLength(3);
    first.socket.destroy();
    await third.until("hi");
  });

  test("operations H33: when too many wait, then the next ones are closed at once and counted", async () => {
    await start({ ...ok, connectionsMax: 1 });
    await client();
    const more = await Promise.all(Array.from({ length: WAITING_MAX + 3 }, () => client()));
    await eventually(() => more.filter((one) => !one.isOpen).length >= 3);
    expect(connmgr.engine.counts.get("too many clients")).toBeGreaterThanOrEqual(3);
  });

  test("when one address has too many, then its next one is closed, and others are not", async () => {
    await start({ ...ok, perAddressMax: 1, hasProxyHeader: true });
    const from = async (address: string) => {
      const one = await client();
      one.send(`PROXY TCP4 ${address} 2.2.2.2 1 2\r\n${GET}`);
      return one;
    };
    const first = await from("1.1.1.1");
    await first.until("hi");
    await (await from("1.1.1.1")).closed();
    await (await from("1.1.1.2")).until("hi");
    first.socket.destroy();
    await eventually(() => connmgr.engine.connections === 1);
    await (await from("1.1.1.1")).until("hi");
    expect(connmgr.engine.counts.get("too many clients of one address")).toBe(1);
  });
});

describe("given clients that were turned away", () => {
  test("when a minute has passed, then one line says how many and why, and no more the next minute", async () => {
    await start({ clock: new ManualClock() });
    for (let i = 0; i < 3; i += 1) {
      const one = await client();
      one.send("BAD\r\n\r\n");
      await one.closed();
    }
    const lines = () => connmgr.log.lines.filter((one) => one.includes("clients turned away"));
    connmgr.pass(61_000);
    expect(lines()).toEqual([expect.stringContaining("refused 400")]);
    expect(lines()[0]).toMatch(/\b3\b/);
    connmgr.pass(61_000);
    expect(lines()).toHaveLength(1);
  });
});

describe("given a balancer that speaks the PROXY protocol", () => {
  const v2 = (command: number, family: number, rest: string) => {
    const body = Buffer.from(rest, "hex");
    const head = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
    return Buffer.concat([
      head,
      Buffer.from([command, family, body.length >> 8, body.length & 255]),
      body,
    ]);
  };
  test.each([
    ["version 1 with IPv4", Buffer.from("PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\r\n"), "1.2.3.4", 1111],
    [
      "version 1 with IPv6",
      Buffer.from("PROXY TCP6 2001:db8::1 ::1 1111 80\r\n"),
      "2001:db8::1",
      1111,
    ],
    ["version 2 with IPv4", v2(0x21, 0x11, "0102030405060708" + "04570050"), "1.2.3.4", 1111],
    [
      "version 2 with IPv6 and more behind it",
      v2(0x21, 0x21, `20010db8${"0".repeat(23)}1${"0".repeat(32)}04570050` + "030004deadbeef"),
      "2001:db8::1",
      1111,
    ],
  ])(
    "when it uses %s, then the request has the client's address",
    async (_, header, address, port) => {
      await start({ ...ok, hasProxyHeader: true });
      const one = await client();
      one.bytes(Buffer.concat([header, Buffer.from(GET)]));
      await one.until("hi");
      expect(connmgr.sessions[0]?.first).toMatchObject({ peerAddress: address, peerPort: port });
    },
  );

  test.each([
    ["UNKNOWN", Buffer.from("PROXY UNKNOWN\r\n")],
    ["LOCAL", v2(0x20, 0, "")],
  ])("when it says %s, then it speaks for itself", async (_, header) => {
    await start({ ...ok, hasProxyHeader: true });
    const one = await client();
    one.bytes(header);
    one.send(GET);
    await one.until("hi");
    expect(connmgr.sessions[0]?.first.peerAddress).toBe("127.0.0.1");
  });

  test("when the header comes byte by byte, then it is understood", async () => {
    await start({ ...ok, hasProxyHeader: true });
    const one = await client();
    one.socket.setNoDelay(true);
    for (const byte of "PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\r\n") {
      one.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    one.send(GET);
    await one.until("hi");
    expect(connmgr.sessions[0]?.first.peerAddress).toBe("1.2.3.4");
  });

  test.each([
    ["none", Buffer.from(GET)],
    ["a bad address", Buffer.from("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n")],
    ["a bad port", Buffer.from("PROXY TCP4 1.2.3.4 5.6.7.8 99999 2\r\n")],
    ["no end", Buffer.from(`PROXY TCP4 ${"1".repeat(200)}`)],
    ["version 3", v2(0x31, 0x11, "0102030405060708" + "04570050")],
    ["too short addresses", v2(0x21, 0x11, "0102")],
    ["too much behind it", v2(0x21, 0x11, "00".repeat(4000))],
  ])("when the header is missing or has %s, then nothing is served", async (_, bytes) => {
    await start({ ...ok, hasProxyHeader: true });
    const one = await client();
    one.bytes(bytes);
    expect(await one.closed()).toBe("");
    expect(connmgr.sessions).toHaveLength(0);
    expect(connmgr.engine.counts.get("no PROXY header")).toBe(1);
  });

  test("when the header never ends, then the connection ends, however it trickles", async () => {
    await start({ ...ok, hasProxyHeader: true, headerTimeoutMs: 50 });
    const one = await client();
    one.send("PROXY TCP4 ");
    const trickle = setInterval(() => one.send("1"), 10);
    await one.closed();
    clearInterval(trickle);
    expect(connmgr.engine.counts.get("no PROXY header")).toBe(1);
  });

  test("when the client leaves in the middle of it, then its place is free again", async () => {
    await start({ ...ok, hasProxyHeader: true, connectionsMax: 1 });
    const one = await client();
    one.send("PROXY TCP4 ");
    const next = await client();
    next.send(`PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n${GET}`);
    one.socket.resetAndDestroy();
    await next.until("hi");
  });

  test("when TLS follows, then the request has the client's address", async () => {
    await startTls({ hasProxyHeader: true });
    const plain = connectPlain(connmgr.listener.port, "127.0.0.1");
    plain.write("PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\r\n");
    const one = await RawClient.over(
      connect({ socket: plain, rejectUnauthorized: false }),
      "secureConnect",
    );
    clients.push(one);
    one.send(GET);
    await one.until("hi");
    expect(connmgr.sessions[0]?.first.peerAddress).toBe("1.2.3.4");
  });
});

describe("given slow clients", () => {
  test("when a head never ends, then 408 after the header timeout, however many bytes trickle", async () => {
    const clock = new ManualClock();
    await start({ clock });
    const one = await client();
    one.send("GET / HTTP/1.1\r\n");
    await eventually(() => connmgr.engine.connections === 1);
    for (let i = 0; i < 30 && one.isOpen; i += 1) {
      one.send(`X-${i}: y\r\n`);
      await new Promise((resolve) => setTimeout(resolve, 2));
      connmgr.pass(1250);
    }
    expect(await one.closed()).toMatch(/^HTTP\/1.1 408 Request Timeout\r\n/);
    expect(connmgr.sessions).toHaveLength(0);
  });

  test("when nothing comes, then the connection closes after the idle timeout without a byte", async () => {
    await start({ clock: new ManualClock() });
    const one = await client();
    await eventually(() => connmgr.engine.connections === 1);
    connmgr.pass(74_000);
    expect(connmgr.engine.connections).toBe(1);
    connmgr.pass(2000);
    expect(await one.closed()).toBe("");
  });

  test("when a body stops, then 408 after the body timeout and the handler gets a cancel", async () => {
    await start({ clock: new ManualClock() });
    const one = await client();
    one.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    const session = await connmgr.session();
    session.send({ type: "credit", credits: 100 });
    await session.until((seen) => seen.body === "he");
    connmgr.pass(59_000);
    expect(one.text).toBe("");
    session.send({ type: "keep-alive" }); // the handler lives
    connmgr.pass(2000);
    expect(await one.closed()).toMatch(/^HTTP\/1.1 408 /);
    await session.until((seen) => seen.last?.type === "cancel");
  });

  test("when a client takes no byte, then it is dropped after the write timeout and counted", async () => {
    await start({ clock: new ManualClock(), windowBytes: 100_000_000 });
    const one = await client();
    one.socket.pause();
    one.send(GET);
    const session = await connmgr.session();
    session.respond(200, "x".repeat(90_000_000), [], true);
    await new Promise((resolve) => setImmediate(resolve));
    for (let s = 0; s < 62 && connmgr.engine.connections === 1; s += 1) {
      session.send({ type: "keep-alive" });
      connmgr.pass(1000);
    }
    expect(connmgr.engine.connections).toBe(0);
    expect(connmgr.engine.counts.get("write timeout")).toBe(1);
    await session.until((seen) => seen.last?.type === "cancel");
  });

  test("when a TLS handshake never ends, then it is dropped", async () => {
    await startTls({ headerTimeoutMs: 50 });
    const one = await client();
    const trickle = setInterval(() => one.send("\x16"), 10);
    one.send("\x16\x03\x01\x40\x00");
    await one.closed();
    clearInterval(trickle);
    expect(connmgr.engine.counts.get("tls handshake")).toBe(1);
  });
});

describe("given a handler that falls silent", () => {
  test("operations H31: when 60 s have passed, then the client is closed without a byte; a keep-alive went before", async () => {
    await start({ clock: new ManualClock() });
    const one = await client();
    one.send(GET);
    const session = await connmgr.session();
    session.send({ type: "keep-alive" });
    connmgr.pass(46_000);
    expect(session.packets.some((seen) => seen.type === "keep-alive")).toBe(true);
    expect(connmgr.engine.connections).toBe(1);
    connmgr.pass(20_000);
    expect(await one.closed()).toBe("");
  });
});
