import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLog } from "@pushpin/log";
import {
  type Backend,
  type Ground,
  HttpStream,
  launchService,
  prepareGround,
  publishTo,
  RawClient,
  type ServiceName,
  type TestProcess,
  until,
} from "@pushpin/testkit";
import { encode } from "@pushpin/tnetstrings";
import { type SocketType, ZmqSocket } from "@pushpin/zmq";
import { encodeRequest, encodeRetryPacket, type RetryPacket } from "@pushpin/zrpc";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { GARBAGE } from "../garbage.ts";
import { startGripBackend } from "../grip-backend.ts";

const SERVICES: readonly ServiceName[] = ["connmgr", "httpclient", "proxy", "handler"];

let backend: Backend;
let ground: Ground;
let running: TestProcess[] = [];

beforeAll(async () => {
  backend = await startGripBackend();
});
beforeEach(async () => {
  ground = await prepareGround({ routes: [`* ${backend.address}`] });
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
  rmSync(ground.directory, { recursive: true, force: true });
});
afterAll(() => backend?.stop());

const launch = (name: ServiceName, ...args: string[]) => {
  const service = launchService(name, ground.configFile, { arguments: args, cwd: ground.directory });
  running.push(service);
  return service;
};
const start = async (name: ServiceName, ...args: string[]) => {
  const service = launch(name, ...args);
  await service.said(/ started$/m);
  return service;
};
const url = () => `http://127.0.0.1:${ground.port}`;

/** A request through everything, and a stream that an item reaches. */
async function works(): Promise<void> {
  await until("a proxied request", async () => {
    const one = await HttpStream.whole(`${url()}/answer?size=3`).catch(() => undefined);
    return one?.status === 200 && one.text === "xxx";
  });
  const stream = await HttpStream.open(`${url()}/stream?channel=single`);
  await stream.received("[open]\n");
  await until("an item", async () => {
    const item = { channel: "single", formats: { "http-stream": { content: "item\n" } } };
    await publishTo(`http://127.0.0.1:${ground.controlPort}`, [item]);
    return stream.text.includes("item\n");
  });
  stream.close();
}

describe("given services that are started one by one", () => {
  const ORDERS: readonly (readonly ServiceName[])[] = [
    ["connmgr", "httpclient", "proxy", "handler"],
    ["handler", "proxy", "httpclient", "connmgr"],
  ];
  test.each(ORDERS.map((one) => [one.join(", "), one] as const))(
    "when they come in the order %s, then the main job works",
    async (_, order) => {
      for (const name of order) await start(name);
      await works();
    },
  );

  test.each(["SIGTERM", "SIGINT"] as const)(
    "when each gets %s, then it says so and ends with 0 within five seconds",
    async (signal) => {
      const services = await Promise.all(SERVICES.map((name) => start(name)));
      await works();
      const startedMs = performance.now();
      for (const one of services) one.child.kill(signal);
      for (const one of services) {
        expect([one.name, await one.ended()], one.output).toEqual([one.name, { code: 0, signal: null }]);
        await until("the last words", () => one.output.includes("stopping..."));
      }
      expect(performance.now() - startedMs).toBeLessThan(5500);
    },
  );

  test("when they get SIGHUP, then they go on", async () => {
    const services = await Promise.all(SERVICES.map((name) => start(name)));
    for (const one of services) one.child.kill("SIGHUP");
    for (const one of services) await one.said(/reloading/);
    await works();
    expect(services.map((one) => one.exit)).toEqual([undefined, undefined, undefined, undefined]);
  });

  test.each(SERVICES)("when a second %s is started, then it ends with 1 and says why, and the first goes on", async (name) => {
    await Promise.all(SERVICES.map((one) => start(one)));
    const second = launch(name);
    expect(await second.ended()).toEqual({ code: 1, signal: null });
    expect(second.output).toMatch(/address already in use/i);
    await works();
  });
});

describe("given a service that cannot start", () => {
  const CASES: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["an unknown option", ["--nonsense"], /nonsense/],
    ["an option without its value", ["--loglevel"], /Missing value after '--loglevel'/],
    ["a log level that is none", ["--loglevel=many"], /log ?level/i],
    ["a file that is not there", ["--config=/nonexistent/p.conf"], /nonexistent/],
    ["a log file that cannot be", ["--logfile=/nonexistent/p.log"], /nonexistent/],
  ];
  test.each(CASES)("when it is given %s, then it ends with 1 and names it", async (_, args, text) => {
    const services = SERVICES.map((name) => launch(name, ...args));
    for (const one of services) {
      expect([one.name, await one.ended(20_000)]).toEqual([one.name, { code: 1, signal: null }]);
      await until(`the reason of ${one.name}`, () => text.test(one.output));
    }
  });

  test.each([
    ["a value of the wrong kind", "[global]\ninclude={libdir}/internal.conf\nstats_connection_ttl=many\n", /stats_connection_ttl/],
    ["bytes that are no text", "\u0000\u0001\u0002\n=\n[[[\n", /must set connmgr_in_specs/],
    ["a directory it cannot make", "[global]\nrundir=/dev/null/none\ninclude={libdir}/internal.conf\n", /dev\/null\/none/],
  ])("when the proxy's configuration has %s, then it ends with 1 and says so", async (_, text, said) => {
    writeFileSync(ground.configFile, text);
    const service = launch("proxy");
    expect(await service.ended(20_000)).toEqual({ code: 1, signal: null });
    await until("the reason", () => said.test(service.output));
  });

  test("when there is no routes file, then the proxy starts, and takes it when it comes", async () => {
    rmSync(join(ground.directory, "routes"));
    await Promise.all(SERVICES.map((name) => start(name)));
    expect((await HttpStream.whole(`${url()}/`)).status).toBe(502);
    writeFileSync(join(ground.directory, "routes"), `* ${backend.address}\n`);
    await works();
  });

  test("when the place of a socket is taken by a directory, then it ends with 1 and names it", async () => {
    mkdirSync(join(ground.directory, "run", "p-inspect"), { recursive: true });
    const service = launch("proxy");
    expect(await service.ended(20_000)).toEqual({ code: 1, signal: null });
    await until("the reason", () => service.output.includes("p-inspect"));
  });
});

/** Whom a hostile peer plays: the sockets it binds, and whom it throws garbage at. */
const HOSTILE: readonly {
  readonly victim: ServiceName;
  readonly sockets: readonly (readonly [string, SocketType])[];
}[] = [
  {
    // As a connection manager and an HTTP client: those bind, the proxy connects.
    victim: "proxy",
    sockets: [
      ["connmgr-out", "push"],
      ["connmgr-out-stream", "router"],
      ["connmgr-client-out", "pub"],
      ["connmgr-client-in-stream", "router"],
    ],
  },
  {
    // As a proxy and a connection manager.
    victim: "handler",
    sockets: [
      ["connmgr-out-stream", "router"],
      ["inspect", "dealer"],
      ["accept", "dealer"],
      ["retry", "router"],
      ["ws-control-init", "push"],
      ["ws-control-stream", "router"],
      ["proxy-stats", "pub"],
      ["proxy-command", "router"],
      ["intreq-in-stream", "router"],
      ["intreq-out", "pub"],
    ],
  },
];

describe("given a peer process that has gone mad", () => {
  for (const { victim, sockets } of HOSTILE)
    test(`when it throws garbage at every socket of ${victim}, then ${victim} stays, and works with sane ones`, async () => {
      const service = await start(victim);
      for (const [name, type] of sockets) {
        const socket = await ZmqSocket.open({
          type,
          specs: [`ipc://${join(ground.directory, "run", `p-${name}`)}`],
          mode: "bind",
          identity: "mad",
          lingerMs: 0,
          log: silentLog,
          onMessage: () => {},
        });
        // PUSH and DEALER tell that somebody takes; the others speak to all who may be there.
        if (type === "push" || type === "dealer")
          await until(`${victim} at ${name}`, () => socket.isWritable);
        for (const bytes of GARBAGE) {
          socket.send(Buffer.from(bytes));
          socket.send([Buffer.alloc(0), Buffer.from(bytes)]);
          for (const id of ["id", "none"])
            socket.send([Buffer.from(id), Buffer.alloc(0), Buffer.from(bytes)]);
        }
        if (type === "push" || type === "dealer")
          await until("all to be sent", () => socket.overflowLength === 0);
        await socket.close();
      }
      expect(service.exit).toBeUndefined();
      await Promise.all(SERVICES.filter((one) => one !== victim).map((one) => start(one)));
      await works();
      expect(service.exit).toBeUndefined();
    });
});

describe("given peers that wait for a proxy and have much to say to it", () => {
  test("when it starts, then it stays, and answers what was asked before it was there", async () => {
    const backToIt: RetryPacket = {
      requests: [{ rid: { sender: "cm", id: "1" }, inSeq: 1, outSeq: 1, outCredits: 100 }],
      requestData: { method: "GET", uri: "http://example.com/", headers: [], body: Buffer.alloc(0) },
    };
    const retry = encode(encodeRetryPacket(backToIt));
    const health = encodeRequest({ id: "1", method: "health" });
    const each = 10;
    for (let round = 0; round < 4; round += 1) {
      const sockets: ZmqSocket[] = [];
      let answers = 0;
      for (const [name, frame] of [["retry", retry], ["proxy-command", health]] as const)
        for (let i = 0; i < each; i += 1) {
          const socket = await ZmqSocket.open({
            type: "dealer",
            specs: [`ipc://${join(ground.directory, "run", `p-${name}`)}`],
            mode: "connect",
            log: silentLog,
            onMessage: () => {
              answers += 1;
            },
          });
          for (let n = 0; n < 3; n += 1) socket.send([Buffer.alloc(0), frame]);
          sockets.push(socket);
        }
      const proxy = launch("proxy");
      await until("the answers", () => answers === 3 * each || proxy.exit !== undefined);
      expect([proxy.exit, answers], proxy.output).toEqual([undefined, 3 * each]);
      await Promise.all([proxy.stop(), ...sockets.map((one) => one.close())]);
    }
  });
});

describe("given a handler that is asked for its health", () => {
  const readiness = async () => {
    const response = await fetch(`http://127.0.0.1:${ground.controlPort}/readyz`);
    return `${response.status} ${await response.text()}`;
  };

  test("when the others come and go, then it says who is missing", async () => {
    await start("handler");
    const live = await fetch(`http://127.0.0.1:${ground.controlPort}/livez`);
    expect([live.status, await live.text()]).toEqual([200, "ok\n"]);
    const alone = await readiness();
    expect(alone).toMatch(/^503 not ready\nhandler: ok\nproxy: 0 of 1 answer\n/);
    expect(alone).toMatch(/^connmgr: not connected to the handler$/m);
    await start("proxy");
    const manager = await start("connmgr");
    await until("all but one", async () => {
      const text = await readiness();
      return /^503 not ready\nhandler: ok\nproxy: ok\nconnmgr: ok\nhttpclient: not connected/.test(text);
    });
    const client = await start("httpclient");
    await until("all to be ready", async () => (await readiness()).startsWith("200 ready\n"));
    client.child.kill("SIGKILL");
    await until("its absence to be seen", async () =>
      (await readiness()).includes("httpclient: not connected to the proxy"),
    );
    await start("httpclient");
    await until("all to be ready again", async () => (await readiness()).startsWith("200 ready\n"));
    manager.child.kill("SIGKILL");
    await until("its absence to be seen", async () =>
      (await readiness()).includes("connmgr: not connected to the handler"),
    );
    await start("connmgr");
    await until("all to be ready at last", async () => (await readiness()).startsWith("200 ready\n"));
  });
});

describe("given clients on a unix socket", () => {
  test("when the configuration has one, then it serves clients, and is gone after the end", async () => {
    rmSync(ground.directory, { recursive: true, force: true });
    ground = await prepareGround({
      routes: [`* ${backend.address}`],
      config: { runner: { local_ports: "run/clients.sock" } },
    });
    await Promise.all(SERVICES.map((name) => start(name)));
    const path = join(ground.directory, "run", "clients.sock");
    expect(existsSync(path) && statSync(path).isSocket()).toBe(true);
    const client = await RawClient.openLocal(path);
    client.send("GET /answer?size=2 HTTP/1.1\r\nHost: h\r\n\r\n");
    await until("an answer", () => client.text.includes("\r\n\r\n"));
    expect((await client.response()).body).toBe("xx");
    client.close();
    const connmgr = running.find((one) => one.name === "connmgr");
    await connmgr?.stop();
    expect(connmgr?.exit).toEqual({ code: 0, signal: null });
    expect(existsSync(path)).toBe(false);
  });
});
