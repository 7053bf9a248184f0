import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { type Backend, HttpStream, Installation, ROOT, TestProcess, until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";

const PUSHPIN = [process.execPath, join(ROOT, "runner/bin/pushpin.js")];
/** Runs what follows with a terminal, and copies what it shows. */
const ON_TERMINAL = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";

let backend: Backend;
let installation: Installation;
const running: TestProcess[] = [];
const streams: HttpStream[] = [];

beforeAll(async () => {
  backend = await startGripBackend();
  installation = await Installation.start({ routes: [`* ${backend.address}`] });
});
afterEach(async () => {
  for (const one of streams.splice(0)) one.close();
  await Promise.all(running.splice(0).map((one) => one.stop()));
});
afterAll(async () => {
  await installation?.stop();
  await backend?.stop();
});

const follow = (command: readonly string[]) => {
  const one = new TestProcess("tool", command, { cwd: installation.directory });
  running.push(one);
  return one;
};
/** Without --config: found where one looks for it. */
const tool = (...args: string[]) => follow([...PUSHPIN, ...args]);
const whole = (...args: string[]) => {
  const [file = "", ...rest] = [...PUSHPIN, ...args];
  const options = { cwd: installation.directory, encoding: "utf8" } as const;
  const { status, stdout, stderr } = spawnSync(file, rest, { ...options, timeout: 20_000 });
  return { status, stdout, stderr };
};
const hold = async (channel: string) => {
  const stream = await HttpStream.open(`${installation.url}/stream?channel=${channel}`);
  streams.push(stream);
  await stream.received("[open]\n");
};
const item = (channel: string) => ({ channel, formats: { "http-stream": { content: "x\n" } } });

describe("given a running installation and `pushpin command`", () => {
  test("when the addresses are asked for, then they are printed as JSON", () => {
    const answer = whole("command", "get-zmq-uris");
    expect(answer).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(answer.stdout)).toEqual({
      command: `tcp://127.0.0.1:${installation.commandPort}`,
      "publish-pull": `tcp://127.0.0.1:${installation.pushPort}`,
      "publish-sub": `tcp://127.0.0.1:${installation.subPort}`,
    });
  });

  test("when the address comes first, as in the original's script, then it is taken", () => {
    const spec = `tcp://127.0.0.1:${installation.commandPort}`;
    expect(whole("command", spec, "conncheck", '{"ids":["none"]}')).toEqual({
      status: 0,
      stdout: "[]\n",
      stderr: "",
    });
  });

  test.each([
    [["none"], "Error: method-not-found\n"],
    [["conncheck"], "Error: bad-request\n"],
    [["conncheck", "x"], "Error: arguments must be a JSON object\n"],
    [["conncheck", "{}", "y"], "Error: one argument too many: y\n"],
    [[], "Error: must specify a method\n"],
    [["--bogus"], "Error: Unknown argument: bogus\n"],
    [["--timeout=0.3", "ipc:///nonexistent/socket", "recover"], "Error: timeout\n"],
  ])("when it is %j, then it fails and says why", (args, stderr) => {
    expect(whole("command", ...args)).toEqual({ status: 1, stdout: "", stderr });
  });
});

describe("given a running installation and `pushpin subs`", () => {
  test("when a client subscribes and goes, then both are told", async () => {
    const subs = tool("subs");
    await until("the first subscription", async () => {
      await hold("first");
      return /^SUB stream first \d+$/m.test(subs.output);
    });
    await hold("second");
    await subs.said(/^SUB stream second 1$/m);
    for (const one of streams.splice(0)) one.close();
    await subs.said(/^UNSUB stream second$/m);
    subs.child.kill("SIGTERM");
    expect(await subs.ended()).toEqual({ code: 0, signal: null });
  });
});

describe("given a running installation and `pushpin stats`", () => {
  test("when an item is published, then its packet is a line", async () => {
    await hold("news");
    const stats = tool("stats", "--count=2", "message");
    await until("two packets", async () => {
      await installation.publish(item("news"));
      return stats.exit;
    });
    expect(stats.exit).toEqual({ code: 0, signal: null });
    const lines = stats.output.trim().split("\n");
    expect(lines.length).toBe(2);
    for (const line of lines) {
      expect(line).toMatch(/^message \{/);
      expect(JSON.parse(line.slice("message ".length))).toMatchObject({
        channel: "news",
        count: 1,
        transport: "http-stream",
      });
    }
  });

  test("when it has a terminal, then it shows a table and leaves the terminal as it was", async () => {
    await hold("news");
    const stats = follow(["python3", "-c", ON_TERMINAL, ...PUSHPIN, "stats", "--count=40"]);
    await until("packets enough", async () => {
      await installation.publish(item("news"));
      return stats.exit;
    });
    expect(stats.exit).toEqual({ code: 0, signal: null });
    expect(stats.output.startsWith("\x1b[?1049h")).toBe(true);
    expect(stats.output).toMatch(/requests \d+\.\d\/s {3}published \d/);
    expect(stats.output.trimEnd().endsWith("\x1b[?1049l")).toBe(true);
  });

  test("when no handler can be found, then it says so", () => {
    expect(whole("stats", "--spec=bogus")).toMatchObject({ status: 1, stdout: "" });
    expect(whole("stats", "--config=/none")).toEqual({
      status: 1,
      stdout: "",
      stderr: "Error: failed to open /none\n",
    });
  });
});
