import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Backend, HttpStream, Installation, ROOT, SocketClient, until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { crash, pidOf, type Role } from "./crash.ts";

let backend: Backend;
let installation: Installation;

beforeAll(async () => {
  backend = await startGripBackend();
});
afterAll(() => backend.stop());
afterEach(() => installation.stop());

async function start(
  runner: Readonly<Record<string, string | number>>,
  global: Readonly<Record<string, string>> = {},
): Promise<void> {
  installation = await Installation.start({
    routes: [`* ${backend.address},over_http`],
    config: { runner, global },
    env: { NODE_OPTIONS: `--import=${join(ROOT, "test/crash/ways-to-die.mjs")}` },
  });
}

const item = (content: string) => ({
  channel: "a",
  formats: { "http-stream": { content }, "ws-message": { content } },
});

/** What each kind of client has before something happens, and must have afterwards. */
async function hold() {
  const stream = await HttpStream.open(`${installation.url}/stream?channel=a`);
  await stream.received("[open]\n");
  const socket = await SocketClient.open(`${installation.url.replace("http", "ws")}/woh?channel=a`);
  await until("two subscriptions", () =>
    (installation.runner.output.match(/subscribe .*channel=a/g) ?? []).length >= 2,
  );
  return {
    stream,
    socket,
    async stillHere(meanwhile = ""): Promise<void> {
      await installation.publish(item("later\n"));
      await stream.received("later\n");
      expect(stream.text).toBe(`[open]\n${meanwhile}later\n`);
      expect(stream.end).toBeUndefined();
      await socket.received("later\n");
      socket.send("echo");
      await socket.received("echo");
      expect(socket.closed).toBeUndefined();
      expect((await fetch(`${installation.url}/answer`)).status).toBe(200);
      stream.close();
      socket.socket.close();
    },
  };
}

const ROLES = ["handler", "proxy", "httpclient"] as const satisfies readonly Role[];

describe("given held clients and a process that stops answering", () => {
  test.each(ROLES)("when the %s is stopped, then a new one takes its place and nobody is dropped", async (role) => {
    await start({ hang_timeout: 2 });
    const clients = await hold();
    await crash(installation, role, "SIGSTOP");
    expect(installation.runner.output).toContain(
      `${role}: not responding (stopped for more than 2 s), ending it`,
    );
    await clients.stillHere();
  });

  test("when it is caught in a loop, then it is replaced likewise", async () => {
    await start({ hang_timeout: 2 });
    const clients = await hold();
    await crash(installation, "handler", "SIGTRAP");
    expect(installation.runner.output).toContain("handler: not responding (hanging for more than 2 s)");
    await clients.stillHere();
  });

  test("when its successor hangs before it says a word, then that is replaced too, and nobody is dropped", async () => {
    await start({ start_timeout: 5 });
    const clients = await hold();
    const file = join(installation.directory, "hang-handler");
    writeFileSync(file, "");
    const pid = pidOf(installation, "handler") as number;
    process.kill(pid, "SIGKILL");
    await installation.runner.said(/handler: not ready after 5 s, ending it/);
    rmSync(file);
    await installation.runner.said(/handler: Exited unexpectedly reason=not ready after 5 s/);
    await installation.runner.said(/handler is back/);
    await clients.stillHere();
  });

  test("when it goes on before it is given up, then nothing has happened", async () => {
    await start({});
    const clients = await hold();
    const pid = pidOf(installation, "handler") as number;
    process.kill(pid, "SIGSTOP");
    const published = installation.publish(item("meanwhile\n"));
    process.kill(pid, "SIGCONT");
    await published;
    expect(pidOf(installation, "handler")).toBe(pid);
    expect(installation.runner.output).not.toContain("not responding");
    await clients.stream.received("meanwhile\n");
    await clients.stillHere("meanwhile\n");
  });

  test("when it is a connection manager, then it may come back to its clients", async () => {
    await start({ hang_timeout: 2 });
    const clients = await hold();
    const pid = pidOf(installation, "connmgr") as number;
    process.kill(pid, "SIGSTOP");
    // Two others are noticed and replaced in the meantime: it had time enough.
    await crash(installation, "httpclient", "SIGSTOP");
    process.kill(pid, "SIGCONT");
    expect(pidOf(installation, "connmgr")).toBe(pid);
    await clients.stillHere();
  });
});

describe("given held clients", () => {
  test.each(ROLES)("when the %s dies of an exception, then it is replaced, and the reason is said", async (role) => {
    await start({});
    const clients = await hold();
    await crash(installation, role, "SIGPWR");
    await installation.runner.said(
      new RegExp(`${role}: Exited unexpectedly reason=uncaught exception: thrown by a test`),
    );
    await clients.stillHere();
  });

  test.each(ROLES)("when the %s needs more memory than it may, then it is replaced, and the reason is said", async (role) => {
    await start({ heap_max: 48 });
    const clients = await hold();
    await crash(installation, role, "SIGXCPU");
    await installation.runner.said(
      new RegExp(`${role}: Exited unexpectedly reason=.*JavaScript heap out of memory`),
    );
    await clients.stillHere();
  });
});

describe("given that takeover is off", () => {
  test.each(["handler", "proxy"] as const)("when the %s is killed, then clients it had are disconnected", async (role) => {
    await start({}, { takeover: "false" });
    const { stream, socket } = await hold();
    await crash(installation, role);
    if (role === "handler") await stream.finished();
    else expect(await socket.end()).toMatchObject({ code: 1012 });
    stream.close();
    socket.socket.terminate();
  });
});
