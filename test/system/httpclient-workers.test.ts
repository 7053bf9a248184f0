import { readdirSync, readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { Backend, HttpStream, Installation, SocketClient, until } from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/** Enough for each of two workers to have some, whichever was ready first: they come in frames of up to 16 in turn. */
const MANY = 96;
/** What each has at least, however unequal the frames are. */
const SHARE = MANY / 12;

describe("given two workers of the HTTP client", () => {
  const waiting: { path: string; response: ServerResponse }[] = [];
  let backend: Backend;
  let installation: Installation;

  beforeAll(async () => {
    backend = await Backend.start(
      (request, response) => {
        const path = request.url ?? "";
        if (path.startsWith("/wait")) waiting.push({ path, response });
        else response.end("ok");
      },
      (socket) => {
        socket.on("message", (data) => socket.send(data as Buffer, { binary: false }));
      },
    );
    installation = await Installation.start({
      routes: [`* ${backend.address}`],
      config: { httpclient: { workers: 2 } },
    });
  });
  afterAll(async () => {
    await installation?.stop();
    await backend?.stop();
  });

  /** Pid of the second worker, or undefined while there is none. */
  const pidOf = (worker: string): number | undefined => {
    const run = join(installation.directory, "run");
    const file = readdirSync(run).find((one) => one.endsWith(".pid") && one.includes(worker));
    try {
      return Number(readFileSync(join(run, file ?? ""), "utf8")) || undefined;
    } catch {
      return undefined;
    }
  };
  const echoes = (sockets: readonly SocketClient[], text: string): number =>
    sockets.filter(({ messages }) => messages.includes(text)).length;

  test("when one is stopped for a while, then the other serves its share of WebSockets and requests", async () => {
    const url = installation.url.replace("http", "ws");
    const sockets = await Promise.all(Array.from({ length: MANY }, () => SocketClient.open(url)));
    const pid = pidOf("httpclient-1") as number;
    process.kill(pid, "SIGSTOP");
    try {
      for (const socket of sockets) socket.send("one");
      await until("its share to echo", () => echoes(sockets, "one") > SHARE);
      const served = sockets.filter(({ messages }) => messages.includes("one"));
      // A second echo has come from all that the worker at work has.
      for (const socket of served) socket.send("two");
      await until("a second echo", () => echoes(served, "two") === served.length);
      expect(echoes(sockets, "one")).toBeLessThan(MANY - SHARE);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await until("all to echo", () => echoes(sockets, "one") === MANY);
    for (const { socket } of sockets) socket.terminate();
  });

  test("when requests wait for their answers, then both workers have some of them", async () => {
    waiting.length = 0;
    const answers = Array.from({ length: MANY }, (_, i) =>
      HttpStream.whole(`${installation.url}/wait/${i}`),
    );
    await until("all requests", () => waiting.length === MANY);
    const pid = pidOf("httpclient-1") as number;
    process.kill(pid, "SIGSTOP");
    let answered = 0;
    for (const answer of answers) void answer.then(() => (answered += 1));
    try {
      for (const { path, response } of waiting.splice(0)) response.end(path);
      await until("the answers of one worker", () => answered > SHARE);
      expect(answered).toBeLessThan(MANY - SHARE);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    const texts = (await Promise.all(answers)).map(({ text }) => text);
    expect(texts).toEqual(Array.from({ length: MANY }, (_, i) => `/wait/${i}`));
  });

  test("when they run, then many names can be looked up at a time", () => {
    const environment = readFileSync(`/proc/${pidOf("httpclient-1")}/environ`, "latin1");
    expect(environment.split("\0")).toContain("UV_THREADPOOL_SIZE=16");
  });

  test("when one is killed, then it comes back, and requests are answered", async () => {
    const pid = pidOf("httpclient-1") as number;
    process.kill(pid, "SIGKILL");
    await until("it to be back", () => {
      const now = pidOf("httpclient-1");
      return now !== undefined && now !== pid;
    });
    const ask = async () => (await HttpStream.whole(`${installation.url}/`)).text;
    for (let i = 0; i < 20; i += 1) expect(await ask()).toBe("ok");
  });
});
