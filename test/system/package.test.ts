import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts, makeTestDirectory, ROOT, TestProcess, until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

const NPM_TIMEOUT_MS = 180_000;
let directory: string;
const running: TestProcess[] = [];

/** Runs to its end; rejects what fails, with its words. */
function run(command: readonly string[], cwd: string): string {
  const [file = "", ...args] = command;
  const done = spawnSync(file, args, { cwd, encoding: "utf8", timeout: NPM_TIMEOUT_MS });
  if (done.status !== 0)
    throw new Error(`${command.join(" ")}: ${done.error?.message ?? done.stderr}${done.stdout}`);
  return done.stdout;
}

beforeAll(() => {
  directory = makeTestDirectory();
  run(["npm", "pack", "--ignore-scripts", "--pack-destination", directory], ROOT);
  const [tarball] = readdirSync(directory).filter((one) => one.endsWith(".tgz"));
  mkdirSync(join(directory, "empty"));
  const options = ["--ignore-scripts", "--offline", "--no-audit", "--no-fund"];
  const prefix = ["--global", "--prefix", join(directory, "prefix")];
  const archive = join(directory, tarball ?? "none.tgz");
  run(["npm", "install", ...prefix, ...options, archive], join(directory, "empty"));
}, 2 * NPM_TIMEOUT_MS);

afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const program = (name: string) => join(directory, "prefix/bin", name);

describe("given the package, installed without network, compiler and scripts", () => {
  test("when its programs are asked for their version, then each says it", () => {
    for (const name of readdirSync(join(directory, "prefix/bin")))
      expect(run([program(name), "--version"], directory)).toMatch(
        new RegExp(`^${name} \\d+\\.\\d+\\.\\d+\\n$`),
      );
  });

  test("when it is run in an empty directory, then it serves, publishes and stops", async () => {
    const cwd = join(directory, "empty");
    const [port = 0, control = 0] = await freePorts(2);
    const pushpin = new TestProcess("pushpin", [program("pushpin"), "-m", `--port=127.0.0.1:${port}`], {
      cwd,
      env: {
        PUSHPIN_HANDLER_PUSH_IN_HTTP_PORT: String(control),
        PUSHPIN_HANDLER_PUSH_IN_SPEC: "ipc://{rundir}/pull",
        PUSHPIN_HANDLER_PUSH_IN_SUB_SPECS: "ipc://{rundir}/sub",
        PUSHPIN_HANDLER_COMMAND_SPEC: "ipc://{rundir}/command",
      },
    });
    running.push(pushpin);
    await pushpin.said(/\.\d{3} started$/m);
    const response = await fetch(`http://127.0.0.1:${port}/`);
    expect(await response.text()).toBe("Hello from the Pushpin test handler!\n");
    const spec = `--spec=http://127.0.0.1:${control}`;
    expect(run([program("pushpin-publish"), spec, "test", "hello"], cwd)).toBe("Published\n");
    expect(run([program("pushpin"), "publish", spec, "test", "hello"], cwd)).toBe("Published\n");
    pushpin.child.kill("SIGTERM");
    expect(await pushpin.ended()).toEqual({ code: 0, signal: null });
  });
});

describe("given a project that has the package", () => {
  let project: string;
  beforeAll(() => {
    project = join(directory, "project");
    mkdirSync(join(project, "node_modules"), { recursive: true });
    symlinkSync(join(directory, "prefix/lib/node_modules/pushpin"), join(project, "node_modules/pushpin"));
    symlinkSync(join(ROOT, "node_modules/@types"), join(project, "node_modules/@types"));
    writeFileSync(join(project, "package.json"), '{ "type": "module" }\n');
  });

  test("when a program starts an instance, then it serves and publishes, and nothing is left", async () => {
    writeFileSync(
      join(project, "program.mts"),
      `import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createPushpin, type Item } from "pushpin";

const backend = createServer((request, response) => {
  response.writeHead(200, { "Grip-Hold": "stream", "Grip-Channel": "news" }).end("open\\n");
});
await new Promise<void>((resolve) => backend.listen(0, "127.0.0.1", resolve));
const { port } = backend.address() as AddressInfo;
{
  await using pushpin = await createPushpin({
    routes: [\`* 127.0.0.1:\${port}\`],
    config: { handler: { message_rate: 100 } },
  }).start();
  const response = await fetch(pushpin.url);
  const item: Item = { channel: "news", formats: { "http-stream": { content: "hello\\n" } } };
  let text = "";
  for await (const bytes of response.body ?? []) {
    text += Buffer.from(bytes).toString();
    if (text === "open\\n") await pushpin.publish(item);
    if (text.endsWith("hello\\n")) break;
  }
  console.log(JSON.stringify(text), pushpin.controlUrl);
  await pushpin.publish({ channel: "" , formats: {} }).catch((error: Error) => console.log(error.message));
}
const second = createPushpin({ config: { handler: { mesage_rate: 1 } } });
await second.start().catch((error: Error) => console.log(error.message));
backend.close();
`,
    );
    const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
    const options = ["--module", "nodenext", "--target", "es2022", "--strict", "--types", "node"];
    const lib = ["--lib", "es2023,esnext.disposable"];
    run([process.execPath, compiler, ...options, ...lib, "program.mts"], project);
    const child = new TestProcess("program", [process.execPath, "program.mjs"], { cwd: project });
    running.push(child);
    expect(await child.ended(30_000), child.output).toEqual({ code: 0, signal: null });
    const [first = "", refused = "", ...failed] = child.output.split("\n");
    expect(first).toMatch(/^"open\\nhello\\n" http:\/\/127\.0\.0\.1:\d+$/);
    expect(refused).toMatch(/^publishing failed: 400 /);
    expect(failed.join("\n")).toMatch(/did not start:\n.*mesage_rate; did you mean message_rate\?/);
    const { port } = new URL(first.slice(first.indexOf("http")));
    await until("its processes to be gone", () =>
      fetch(`http://127.0.0.1:${port}/`).then(() => false, () => true),
    );
  });
});
