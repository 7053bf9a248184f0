import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { Backend, HttpStream, Installation, ROOT, SocketClient } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { pidOf } from "./crash.ts";

let backend: Backend;
let installation: Installation;

beforeAll(async () => {
  backend = await startGripBackend();
});
afterAll(() => backend.stop());
afterEach(() => installation?.stop());

const restart = () =>
  promisify(execFile)(
    process.execPath,
    [join(ROOT, "runner/bin/pushpin.js"), "restart", "--config=pushpin.conf"],
    { cwd: installation.directory },
  );

describe("given clients and requests on the way", () => {
  test("when all is restarted, then every request is answered, and nobody who is held notices", async () => {
    installation = await Installation.start({
      routes: [`* ${backend.address},over_http`, `*,path_beg=/plain,reconnect ${backend.address}`],
    });
    const through = await SocketClient.open(`${installation.url.replace("http", "ws")}/plain`);
    const stream = await HttpStream.open(`${installation.url}/stream?channel=a`);
    await stream.received("[open]\n");
    const socket = await SocketClient.open(
      `${installation.url.replace("http", "ws")}/woh?channel=a`,
    );
    await installation.runner.said(/(?:subscribe .*channel=a[^]*){2}/);
    const before = (["proxy", "handler", "httpclient", "connmgr"] as const).map((role) =>
      pidOf(installation, role),
    );
    let isOver = false;
    const statuses: number[] = [];
    const asking = Array.from({ length: 4 }, async (_, i) => {
      while (!isOver) {
        const method = i % 2 === 0 ? "POST" : "GET";
        const spec = method === "POST" ? { method, body: "whole" } : { method };
        statuses.push((await HttpStream.whole(`${installation.url}/echo`, spec)).status);
      }
    });
    const { stdout } = await restart();
    expect(stdout).toMatch(/proxy: \d+ replaced by \d+/);
    isOver = true;
    await Promise.all(asking);
    expect(new Set(statuses)).toEqual(new Set([200]));
    const after = (["proxy", "handler", "httpclient", "connmgr"] as const).map((role) =>
      pidOf(installation, role),
    );
    expect(after.map((pid, i) => pid === before[i])).toEqual([false, false, false, true]);
    await installation.runner.said(/restarted$/m);
    await installation.publish({
      channel: "a",
      formats: { "http-stream": { content: "new\n" }, "ws-message": { content: "new" } },
    });
    await stream.received("[open]\nnew\n");
    through.send("still here");
    await through.received("still here");
    expect(through.closed).toBeUndefined();
    await socket.received("new");
    socket.send("echo");
    await socket.received("echo");
    expect([stream.end, socket.closed]).toEqual([undefined, undefined]);
    stream.close();
    socket.socket.terminate();
    through.socket.terminate();
  });

  test("when nothing runs there, then the command says so", async () => {
    installation = await Installation.start({ routes: ["* test"] });
    await installation.runner.stop();
    await expect(restart()).rejects.toMatchObject({
      stderr: expect.stringContaining("no instance is running in"),
    });
  });
});
