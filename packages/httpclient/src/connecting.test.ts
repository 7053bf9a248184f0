import { type ChildProcess, spawn } from "node:child_process";
import type { LookupAddress } from "node:dns";
import { mkdtemp, rm } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import {
  type AddressInfo,
  connect,
  createServer,
  type Socket,
} from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { CERTIFICATE, KEY } from "../../../test/httpclient/certificate.ts";
import { FakeInitiator } from "../../../test/httpclient/fake-initiator.ts";
import { OK, RawBackend, type Respond } from "../../../test/httpclient/raw-backend.ts";
import {
  AddressPolicy,
  type EngineOptions,
  type PolicyRules,
  type ResolveAll,
  Resolver,
} from "./index.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const RULES: PolicyRules = { defaultPolicy: "allow", allow: [], deny: [], denyInternal: false };

/** A proxy whose HTTP client finds these addresses for every name. */
async function proxyThatFinds(
  addresses: readonly string[] | "nothing",
  rules: Partial<PolicyRules> = {},
  options: Partial<EngineOptions> = {},
): Promise<FakeInitiator> {
  const found: LookupAddress[] =
    addresses === "nothing" ? [] : addresses.map((address) => ({ address, family: 4 }));
  const resolve: ResolveAll = (_hostname, _options, done) => {
    if (addresses !== "nothing") setImmediate(done, null, found);
  };
  const policy = new AddressPolicy({ ...RULES, ...rules }, new Resolver(resolve));
  const proxy = await FakeInitiator.start({ policy, ...options });
  cleanups.push(() => proxy.stop());
  return proxy;
}

async function backend(respond: Respond): Promise<RawBackend> {
  const one = await RawBackend.start(respond);
  cleanups.push(() => one.stop());
  return one;
}

/** Takes connections and says nothing, not even in a TLS handshake. */
async function silentPort(): Promise<number> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    sockets.push(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Has an address answer no connection: its listener is stopped, and its backlog full. */
async function deaden(address: string, port: number): Promise<void> {
  const listen = `require("net").createServer().listen({ host: "${address}", port: ${port}, backlog: 1 }, () => console.log("listening"))`;
  const child: ChildProcess = spawn(process.execPath, ["-e", listen], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  cleanups.push(() => child.kill("SIGKILL"));
  await new Promise((resolve) => child.stdout?.once("data", resolve));
  child.kill("SIGSTOP");
  for (let i = 0; i < 2; i += 1) {
    const socket = connect(port, address);
    socket.on("error", () => {});
    cleanups.push(() => socket.destroy());
    await new Promise((resolve) => socket.once("connect", resolve));
  }
}

describe("given a name with several addresses", () => {
  test("when nobody listens at the first, then the next is asked", async () => {
    const one = await backend((socket) => socket.write(OK));
    const proxy = await proxyThatFinds(["127.0.0.9", "127.0.0.8", "127.0.0.1"]);
    const uri = `http://several.test:${one.port}/`;
    expect(await proxy.ask(uri)).toMatchObject({ body: "ok", end: "end" });
    expect(one.heads[0]?.text).toContain(`host: several.test:${one.port}`);
  });

  test("when the first does not answer, then the next is asked soon", async () => {
    const one = await backend((socket) => socket.write(OK));
    await deaden("127.0.0.9", one.port);
    const proxy = await proxyThatFinds(["127.0.0.9", "127.0.0.1"]);
    expect(await proxy.ask(`http://several.test:${one.port}/`)).toMatchObject({ body: "ok" });
  });

  test("when nobody listens at any, then remote-connection-failed", async () => {
    const one = await RawBackend.start(() => {});
    const { port } = one;
    await one.stop();
    const proxy = await proxyThatFinds(["127.0.0.9", "127.0.0.1"]);
    const uri = `several.test:${port}/`;
    expect((await proxy.ask(`http://${uri}`)).end).toBe("remote-connection-failed");
    expect((await proxy.ask(`https://${uri}`)).end).toBe("remote-connection-failed");
    expect((await proxy.ask(`ws://${uri}`, { method: "" })).end).toBe("remote-connection-failed");
  });

  test("when some are denied, then only the others are asked, and none means policy-violation", async () => {
    const one = await backend((socket) => socket.write(OK));
    const uri = `http://several.test:${one.port}/`;
    const proxy = await proxyThatFinds(["10.0.0.1", "127.0.0.1"], { deny: ["10.0.0.0/8"] });
    expect((await proxy.ask(uri, { ignorePolicies: false })).body).toBe("ok");
    const strict = await proxyThatFinds(["127.0.0.1"], { deny: ["127.0.0.0/8"] });
    expect((await strict.ask(uri, { ignorePolicies: false })).end).toBe("policy-violation");
    expect(
      (await strict.ask(uri.replace("http", "ws"), { method: "", ignorePolicies: false })).end,
    ).toBe("policy-violation");
    expect((await strict.ask(uri)).body).toBe("ok");
  });

  test("when only a name is allowed, then it may have any address, and others none", async () => {
    const one = await backend((socket) => socket.write(OK));
    const rules = { defaultPolicy: "deny", allow: ["*.good.test"] } as const;
    const proxy = await proxyThatFinds(["127.0.0.1"], rules);
    const asked = async (host: string): Promise<string> =>
      (await proxy.ask(`http://${host}:${one.port}/`, { ignorePolicies: false })).end;
    expect(await asked("a.good.test")).toBe("end");
    expect(await asked("a.bad.test")).toBe("policy-violation");
    expect(await asked("127.0.0.1")).toBe("policy-violation");
  });
});

describe("given a backend that does not let a connection come about", () => {
  const quick = { connectTimeoutMs: 50 };

  test.each([
    ["https", false],
    ["https", true],
    ["wss", false],
  ])(
    "when %s waits for a handshake (HTTP/2: %s), then connection-timeout",
    async (scheme, http2) => {
      const proxy = await proxyThatFinds([], {}, { ...quick, http2 });
      const method = scheme === "wss" ? "" : "GET";
      const { end } = await proxy.ask(`${scheme}://127.0.0.1:${await silentPort()}/`, { method });
      expect(end).toBe("connection-timeout");
    },
  );

  test.each(["http", "https", "ws"])(
    "when %s waits for the address of a name, then connection-timeout",
    async (scheme) => {
      const proxy = await proxyThatFinds("nothing", {}, quick);
      const method = scheme === "ws" ? "" : "GET";
      const { end } = await proxy.ask(`${scheme}://silent.test/`, { method });
      expect(end).toBe("connection-timeout");
    },
  );

  test("when the only address does not answer, then connection-timeout", async () => {
    const port = await silentPort();
    await deaden("127.0.0.9", port);
    const proxy = await proxyThatFinds([], {}, quick);
    expect((await proxy.ask(`http://127.0.0.9:${port}/`)).end).toBe("connection-timeout");
  });

  test("when the session is cancelled meanwhile, then nothing is left of it", async () => {
    const proxy = await proxyThatFinds("nothing", {}, { connectTimeoutMs: 60_000 });
    const session = proxy.open({ uri: "http://silent.test/", method: "POST", more: true });
    await session.next();
    session.send({ type: "cancel" });
    await expect.poll(() => proxy.engine.exchangeCount).toBe(0);
  });
});

describe("given a unix socket that speaks TLS", () => {
  test.each([
    [true, "2.0"],
    [false, "1.1"],
  ])("when HTTP/2 is offered: %s, then it is asked over HTTP/%s", async (http2, version) => {
    const directory = await mkdtemp(join(tmpdir(), "hc-unix-"));
    cleanups.push(() => rm(directory, { recursive: true, force: true }));
    const path = join(directory, "socket");
    const server = createSecureServer({ cert: CERTIFICATE, key: KEY, allowHTTP1: true });
    server.on("request", (request, response) => {
      const { host, ":authority": authority } = request.headers;
      response.end(`${request.httpVersion} ${authority ?? host}`);
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    cleanups.push(() => server.close());
    const proxy = await proxyThatFinds([], {}, { http2 });
    const fields = { connectHost: path, ignoreTlsErrors: true };
    for (let i = 0; i < 2; i += 1)
      expect((await proxy.ask("https://backend.test/", fields)).body).toBe(
        `${version} backend.test`,
      );
  });
});

describe("given a resolver", () => {
  function made() {
    const asked: string[] = [];
    const answers: (() => void)[] = [];
    const resolver = new Resolver((hostname, _options, done) => {
      asked.push(hostname);
      const error = hostname === "none.test" ? new Error("none") : null;
      answers.push(() => done(error, [{ address: "127.0.0.1", family: 4 }]));
    });
    const got: unknown[] = [];
    const lookup = (hostname: string, options = {}) =>
      resolver.lookup(hostname, options, (error, address, family) =>
        got.push(error?.message ?? [address, family]),
      );
    return { asked, answers, got, lookup };
  }

  test("when a name is asked for many times at once, then one question answers all", () => {
    const { asked, answers, got, lookup } = made();
    for (let i = 0; i < 3; i += 1) lookup("a.test");
    lookup("a.test", { all: true });
    lookup("b.test");
    expect(asked).toEqual(["a.test", "b.test"]);
    for (const answer of answers) answer();
    const one = ["127.0.0.1", 4];
    expect(got).toEqual([one, one, one, [[{ address: "127.0.0.1", family: 4 }], undefined], one]);
    lookup("a.test");
    expect(asked).toHaveLength(3);
  });

  test("when there is no address, then all that ask hear of it", () => {
    const { answers, got, lookup } = made();
    for (let i = 0; i < 2; i += 1) lookup("none.test");
    answers[0]?.();
    expect(got).toEqual(["none", "none"]);
  });
});
