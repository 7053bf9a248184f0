import { spawnSync } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Backend, freePorts, makeTestDirectory, ROOT, TestProcess, until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";

const DIRECTORY = join(ROOT, "packaging/docker");
const STEPS_TIMEOUT_MS = 300_000;
const USER = 1001;

interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** Instructions of the Dockerfile in order, lines that go on joined. */
const instructions: readonly Instruction[] = readFileSync(join(DIRECTORY, "Dockerfile"), "utf8")
  .replace(/^#.*\n/gm, "")
  .replace(/\\\n\s*/g, "")
  .split("\n")
  .filter((line) => line.trim() !== "")
  .map((line) => {
    const [name = "", ...rest] = line.split(" ");
    return { name, text: rest.join(" ") };
  });
const all = (name: string) => instructions.filter((one) => one.name === name).map((one) => one.text);

/** What the last stage sets with ENV. */
function environment(): Record<string, string> {
  const pairs = all("ENV").flatMap((text) => text.split(/\s+/));
  return Object.fromEntries(pairs.map((one) => one.split("=") as [string, string]));
}

describe("given the Dockerfile", () => {
  test("when it is read, then it keeps the rules of such files", () => {
    const known = /^(ARG|FROM|WORKDIR|COPY|RUN|ENV|USER|VOLUME|EXPOSE|HEALTHCHECK|ENTRYPOINT|CMD)$/;
    for (const { name } of instructions) expect(name).toMatch(known); // ADD, above all, is not among them
    for (const from of all("FROM")) expect(from).toMatch(/^node:\d+\.\d+\.\d+-[a-z-]+( AS [a-z]+)?$/);
    expect(all("USER").at(-1)).toBe(`${USER}:${USER}`);
    expect(all("HEALTHCHECK")).toHaveLength(1);
    for (const name of ["ENTRYPOINT", "CMD", "HEALTHCHECK"])
      for (const text of all(name))
        expect(JSON.parse(text.slice(text.indexOf("[")))).toEqual(expect.arrayContaining([expect.any(String)]));
    for (const text of all("RUN")) expect(text).not.toMatch(/\bsudo\b|\bcurl\b|\bapt(-get)?\b|latest/);
    for (const text of all("WORKDIR")) expect(text).toMatch(/^\//);
    const scripts = all("RUN").flatMap((text) => text.match(/[\w./-]+\.sh/g) ?? []);
    expect(scripts).toEqual(["packaging/docker/build.sh", "/tmp/pushpin/install.sh"]);
  });

  const isLinter = spawnSync("hadolint", ["--version"]).status === 0;
  if (!isLinter) console.warn("\n*** hadolint is not installed; its test is SKIPPED ***\n");
  test.skipIf(!isLinter)("when hadolint reads it, then it has nothing to say", () => {
    const read = spawnSync("hadolint", [join(DIRECTORY, "Dockerfile")], { encoding: "utf8" });
    expect(read.stdout).toBe("");
  });
});

describe("given the steps of the image, done outside a container", () => {
  let directory: string;
  let root: string;
  let backend: Backend;
  const running: TestProcess[] = [];

  beforeAll(async () => {
    backend = await startGripBackend();
    directory = makeTestDirectory();
    chmodSync(directory, 0o755);
    root = join(directory, "root");
    const out = join(directory, "out");
    step(["sh", join(DIRECTORY, "build.sh"), out], ROOT);
    step(["sh", join(out, "install.sh"), root], directory);
  }, STEPS_TIMEOUT_MS);
  afterEach(async () => {
    await Promise.all(running.splice(0).map((one) => one.stop()));
  });
  afterAll(async () => {
    await backend?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  function step(command: readonly string[], cwd: string): void {
    const [file = "", ...args] = command;
    const done = spawnSync(file, args, { cwd, encoding: "utf8", timeout: STEPS_TIMEOUT_MS });
    if (done.status !== 0)
      throw new Error(`${command.join(" ")}: ${done.error?.message ?? ""}${done.stderr}${done.stdout}`);
  }

  /** As the container starts it: its user, where we may be another one, and its environment. */
  function start(command: readonly string[], env: Record<string, string>): TestProcess {
    const bin = join(root, "usr/local/bin");
    const path = `${bin}:${dirname(process.execPath)}:/usr/bin:/bin`;
    const asUser =
      process.getuid?.() === 0 && isReachable(process.execPath)
        ? ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups"]
        : [];
    const one = new TestProcess("container", [...asUser, ...command], {
      cwd: join(root, "run/pushpin"),
      env: { ...environment(), PATH: path, PUSHPIN_GLOBAL_RUNDIR: join(root, "run/pushpin"), ...env },
    });
    running.push(one);
    return one;
  }

  /** Whether everybody may use this file. */
  function isReachable(path: string): boolean {
    for (let at = path; at !== "/"; at = dirname(at))
      if ((statSync(at).mode & 0o001) === 0) return false;
    return true;
  }

  test("when it is looked at, then only the directory of its sockets is its user's", () => {
    const owned = spawnSync("find", [root, "-uid", String(USER)], { encoding: "utf8" }).stdout;
    const writable = spawnSync("find", [root, "-perm", "-o=w", "!", "-type", "l"], { encoding: "utf8" }).stdout;
    if (process.getuid?.() === 0) expect(owned.trim()).toBe(join(root, "run/pushpin"));
    expect(writable).toBe("");
    expect(readdirSync(join(root, "etc/pushpin")).sort()).toEqual(["pushpin.conf", "routes", "runner"]);
  });

  test("when it runs with a target, then it proxies, is healthy, publishes and stops", async () => {
    const [port = 0, control = 0, pull = 0, sub = 0, command = 0] = await freePorts(5);
    const env = {
      target: backend.address,
      PUSHPIN_RUNNER_HTTP_PORT: `127.0.0.1:${port}`,
      PUSHPIN_HANDLER_PUSH_IN_HTTP_PORT: String(control),
      PUSHPIN_HANDLER_PUSH_IN_SPEC: `tcp://*:${pull}`,
      PUSHPIN_HANDLER_PUSH_IN_SUB_SPECS: `tcp://*:${sub}`,
      PUSHPIN_HANDLER_COMMAND_SPEC: `tcp://*:${command}`,
    };
    const [health] = JSON.parse(all("HEALTHCHECK").join().replace(/^.* CMD /, "")) as [string];
    const [entrypoint] = JSON.parse(all("ENTRYPOINT").join()) as [string];
    const before = start([health], env);
    expect(await before.ended()).toEqual({ code: 1, signal: null });
    // The configuration's place is the only thing the container would find by itself.
    const config = `--config=${join(root, "etc/pushpin/pushpin.conf")}`;
    const container = start([entrypoint, config], env);
    await container.said(/\.\d{3} started$/m);
    await until("health", async () => (await start([health], env).ended()).code === 0);
    const response = await fetch(`http://127.0.0.1:${port}/answer?size=3`);
    expect(await response.text()).toBe("xxx");
    const published = start(["pushpin-publish", `--spec=http://127.0.0.1:${control}`, "c", "x"], env);
    expect(await published.ended()).toEqual({ code: 0, signal: null });
    if (process.getuid?.() === 0 && isReachable(process.execPath))
      expect(statSync(`/proc/${container.pid}`).uid).toBe(USER);
    container.child.kill("SIGTERM");
    expect(await container.ended()).toEqual({ code: 0, signal: null });
  });

  test("when it is given another command, then that is run", async () => {
    const one = start(["pushpin-entrypoint", "pushpin-publish", "--version"], {});
    await one.ended();
    expect(one.output).toMatch(/^pushpin-publish \d/);
  });
});
