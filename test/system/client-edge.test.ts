import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import {
  type Backend,
  Backend as TestBackend,
  freePorts,
  Installation,
  SocketClient,
  until,
} from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { DEFAULT, KEY, RENEWED } from "../connmgr/certificates.ts";
import { startGripBackend } from "../grip-backend.ts";

let backend: Backend;
beforeAll(async () => {
  backend = await startGripBackend();
});
afterAll(() => backend?.stop());

interface Held {
  readonly socket: Socket;
  text: string;
  isClosed: boolean;
}

/** A held stream on a raw socket. */
async function hold(port: number, channel: string): Promise<Held> {
  const held: Held = { socket: connect(port, "127.0.0.1"), text: "", isClosed: false };
  held.socket.on("data", (data) => {
    held.text += data.toString();
  });
  held.socket.on("error", () => {});
  held.socket.on("close", () => {
    held.isClosed = true;
  });
  held.socket.write(`GET /stream?channel=${channel} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await until("an open stream", () => held.text.includes("[open]"));
  return held;
}

const item = (channel: string, content: string) => ({
  channel,
  formats: { "http-stream": { content: `${content}\n` } },
});

describe("given two connection managers on one port", () => {
  let installation: Installation;
  beforeAll(async () => {
    installation = await Installation.start({
      routes: [`* ${backend.address},over_http`],
      config: { connmgr: { workers: 2 } },
    });
  });
  afterAll(() => installation?.stop());

  const pidOf = (file: string) =>
    Number(readFileSync(join(installation.directory, "run", file), "utf8"));

  test("when one is killed, then only its clients lose their connections, and both serve again", async () => {
    const streams: Held[] = [];
    // The kernel gives each client to one of them; both have some at the latest after a few rounds.
    const isOf = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
    const idle = [pidOf("connmgr.pid"), pidOf("connmgr-1.pid")].map(isOf);
    await until("both to have clients", async () => {
      streams.push(
        ...(await Promise.all(Array.from({ length: 50 }, () => hold(installation.port, "w")))),
      );
      return [pidOf("connmgr.pid"), pidOf("connmgr-1.pid")].every(
        (pid, i) => isOf(pid) > (idle[i] ?? 0) + 5,
      );
    });
    await installation.publish(item("w", "one"));
    await until("all to have it", () => streams.every((one) => one.text.includes("one")));

    process.kill(pidOf("connmgr-1.pid"), "SIGKILL");
    await until("its clients to be gone", () => streams.some((one) => one.isClosed));
    await installation.runner.said(/connmgr-1 is back/);
    await installation.publish(item("w", "two"));
    const left = streams.filter((one) => !one.isClosed);
    expect(left.length).toBeGreaterThan(0);
    await until("the others to have it", () => left.every((one) => one.text.includes("two")));
    const fresh = await Promise.all(Array.from({ length: 50 }, () => hold(installation.port, "w")));
    await installation.publish(item("w", "three"));
    for (const one of [...left, ...fresh])
      await until("all to have it", () => one.text.includes("three"));
    for (const one of [...left, ...fresh]) one.socket.destroy();
  });
});

describe("given clients of all kinds", () => {
  test("when everything is told to stop, then answers are finished, WebSockets closed with 1001, new clients refused", async () => {
    let answer = () => {};
    const slow = await TestBackend.start((_request, response) => {
      answer = () => response.end("late");
    });
    const installation = await Installation.start({
      routes: [`slow.test ${slow.address}`, `* ${backend.address},over_http`],
      config: { connmgr: { drain_timeout: 20 } },
    });
    try {
      const held = await hold(installation.port, "c");
      const sockets = await Promise.all(
        Array.from({ length: 3 }, () =>
          SocketClient.open(`ws://127.0.0.1:${installation.port}/woh?channel=c`),
        ),
      );
      const answered = new Promise<{ text: string; connection: string | undefined }>(
        (resolve, reject) => {
          request({ port: installation.port, host: "127.0.0.1", headers: { Host: "slow.test" } })
            .on("response", (response) => {
              let text = "";
              response.on("data", (data: Buffer) => {
                text += data.toString();
              });
              response.on("end", () => resolve({ text, connection: response.headers.connection }));
            })
            .on("error", reject)
            .end();
        },
      );
      await until("the backend to be asked", () => slow.requests.length === 1);
      installation.runner.child.kill("SIGTERM");
      await until("the stream to be closed", () => held.isClosed);
      for (const one of sockets) expect((await one.end()).code).toBe(1001);
      await expect(fetch(`${installation.url}/echo`)).rejects.toThrow();
      answer();
      expect(await answered).toEqual({ text: "late", connection: "close" });
      expect(await installation.runner.ended()).toEqual({ code: 0, signal: null });
    } finally {
      await installation.stop();
      await slow.stop();
    }
  });

  test("operations H34: when there is nothing to wait for, then everything ends at once with exit code 0", async () => {
    const installation = await Installation.start({
      routes: [`* ${backend.address}`],
      config: { connmgr: { drain_timeout: 600 } },
    });
    const idle = connect(installation.port, "127.0.0.1");
    idle.on("error", () => {});
    installation.runner.child.kill("SIGTERM");
    expect(await installation.runner.ended()).toEqual({ code: 0, signal: null });
    idle.destroy();
    await installation.stop();
  });
});

describe("given TLS and unix sockets", () => {
  let installation: Installation;
  let tlsPort: number;
  beforeAll(async () => {
    [tlsPort = 0] = await freePorts(1);
    installation = await Installation.start({
      routes: [`* ${backend.address}`],
      config: {
        runner: {
          https_ports: `127.0.0.1:${tlsPort}`,
          local_ports: "{rundir}/clients?mode=660",
        },
      },
    });
    mkdirSync(join(installation.directory, "runner/certs"), { recursive: true });
    certificate(DEFAULT);
  });
  afterAll(() => installation?.stop());

  function certificate(cert: string): void {
    const directory = join(installation.directory, "runner/certs");
    writeFileSync(join(directory, `default_${tlsPort}.key`), KEY);
    // As tools do it: a file in place of the old one.
    writeFileSync(join(directory, "new"), cert);
    renameSync(join(directory, "new"), join(directory, `default_${tlsPort}.crt`));
  }

  const common = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connectTls({ port: tlsPort, host: "127.0.0.1", rejectUnauthorized: false });
      socket.once("secureConnect", () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.once("error", reject);
    });

  test("operations T5: when a certificate is replaced, then new clients see it, without a restart", async () => {
    expect(await common()).toBe("default.test");
    certificate(RENEWED);
    expect(await common()).toBe("renewed.test");
  });

  test("operations T6: when a WebSocket comes over TLS, then messages flow", async () => {
    const client = await SocketClient.open(`wss://127.0.0.1:${tlsPort}/plain`);
    client.send("hello");
    await client.received("hello");
    client.socket.terminate();
  });

  test("operations C14, H39: when a client comes by the unix socket, then it is served, and the mode is as asked", async () => {
    const path = join(installation.directory, "run/clients");
    expect(statSync(path).mode & 0o777).toBe(0o660);
    const text = await new Promise<string>((resolve, reject) => {
      request({ socketPath: path, path: "/echo", method: "POST", headers: { Host: "a" } })
        .on("response", (response) => {
          let body = "";
          response.on("data", (data: Buffer) => {
            body += data.toString();
          });
          response.on("end", () => resolve(body));
        })
        .on("error", reject)
        .end("ping");
    });
    expect(text).toBe("ping");
  });

  test("when SIGHUP comes, then clients stay", async () => {
    const held = await hold(installation.port, "hup");
    installation.runner.child.kill("SIGHUP");
    await until("all to have heard of it", () =>
      /\[connmgr\] reloading/.test(installation.runner.output),
    );
    await installation.publish(item("hup", "still here"));
    await until("an item", () => held.text.includes("still here"));
    held.socket.destroy();
  });
});

describe("given compression is allowed", () => {
  test("operations W14: when a message is published, then clients with and without it get it whole", async () => {
    const installation = await Installation.start({
      routes: [`* ${backend.address},over_http`],
      config: { runner: { allow_compression: "true" } },
    });
    try {
      const url = `ws://127.0.0.1:${installation.port}/woh?channel=z`;
      const clients = await Promise.all(Array.from({ length: 5 }, () => SocketClient.open(url)));
      const plain = new WebSocket(url, { perMessageDeflate: false });
      const seen: string[] = [];
      plain.on("message", (data: Buffer) => seen.push(data.toString()));
      await once(plain, "open");
      expect(clients.map((one) => one.socket.extensions)).toEqual(
        clients.map(() => "permessage-deflate"),
      );
      expect(plain.extensions).toBe("");
      const content = "all of them get this ".repeat(1000);
      await until("all to have it", async () => {
        if (seen.includes(content)) return true;
        await installation.publish({ channel: "z", formats: { "ws-message": { content } } });
        return undefined;
      });
      for (const one of clients) await one.received(content);
      const [first] = clients as [SocketClient];
      first.send(content.toUpperCase());
      await first.received(content.toUpperCase());
      plain.terminate();
      for (const one of clients) one.socket.terminate();
    } finally {
      await installation.stop();
    }
  });
});
