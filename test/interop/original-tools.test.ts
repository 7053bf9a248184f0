import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type Backend,
  HttpStream,
  Installation,
  leavesOut,
  makeTestDirectory,
  SocketClient,
  TestProcess,
  until,
} from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";

/** The original's example scripts, as Debian has them. */
const TOOLS = "/usr/share/doc/pushpin/examples/tools";
const SHIMS = fileURLToPath(new URL("shims", import.meta.url));
const works = (command: string, args: string[], env: NodeJS.ProcessEnv = {}) =>
  spawnSync(command, args, { env: { ...process.env, ...env } }).status === 0;

/** What makes `python2` start; undefined where there is none. Debian has no package of it, pyenv may have one. */
function python2(): NodeJS.ProcessEnv | undefined {
  if (works("python2", ["--version"])) return {};
  const versions = spawnSync("pyenv", ["versions", "--bare"], { encoding: "utf8" }).stdout ?? "";
  const env = { PYENV_VERSION: /^\s*(2\.7\S*)/m.exec(versions)?.[1] ?? "" };
  return env.PYENV_VERSION !== "" && works("python2", ["--version"], env) ? env : undefined;
}

const PYTHON_2 = python2();
if (PYTHON_2 === undefined) console.warn("\n*** the original's example scripts need Python 2; SKIPPED ***\n");
const importsZmq = `import sys; sys.path.insert(0, ${JSON.stringify(SHIMS)}); import zmq`;
const isLeftOut = leavesOut("the original's example scripts", [
  ...(existsSync(TOOLS) ? [] : ["pushpin"]),
  ...(works("python3", ["-c", importsZmq]) ? [] : ["python3 with libzmq5"]),
]);

describe.skipIf(isLeftOut || PYTHON_2 === undefined)("given the original's example scripts, as they are", () => {
  let directory: string;
  let backend: Backend;
  let installation: Installation;
  const running: TestProcess[] = [];
  const streams: HttpStream[] = [];

  beforeAll(async () => {
    directory = makeTestDirectory();
    backend = await startGripBackend();
    installation = await Installation.start({
      routes: [`*,path_beg=/zhttp zhttpreq/ipc://${directory}/zhttp`, `*,session ${backend.address},over_http`],
      config: {
        handler: { state_spec: `ipc://${directory}/state`, subscription_linger: 0, share_all: "true" },
      },
    });
  });
  afterEach(async () => {
    for (const one of streams.splice(0)) one.close();
    await Promise.all(running.splice(0).map((one) => one.stop()));
  });
  afterAll(async () => {
    await installation?.stop();
    await backend?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const spec = (name: "command" | "push" | "sub") =>
    `tcp://127.0.0.1:${installation[`${name}Port`]}`;
  const stats = () => `ipc://${join(installation.directory, "run/p-stats")}`;
  const start = (python: "python2" | "python3", script: string, ...args: string[]) => {
    const one = new TestProcess(script, [python, "-u", join(TOOLS, script), ...args], {
      cwd: directory,
      env: {
        ...(python === "python2" ? PYTHON_2 : {}),
        PYTHONPATH: SHIMS,
        PYTHONDONTWRITEBYTECODE: "1",
        ZMQ_SHIM_REPLACE: `tcp://localhost:5562=${spec("sub")} ipc:///tmp/zhttpreqhandler=ipc://${directory}/zhttp`,
      },
    });
    running.push(one);
    return one;
  };
  const whole = async (...call: Parameters<typeof start>) => {
    const one = start(...call);
    expect(await one.ended(), one.output).toEqual({ code: 0, signal: null });
    return one.output;
  };
  const hold = async (channel: string) => {
    const stream = await HttpStream.open(`${installation.url}/stream?channel=${channel}`);
    streams.push(stream);
    await stream.received("[open]\n");
    return stream;
  };

  test("when commands are sent, then they are answered", async () => {
    const answer = await whole("python3", "command.py", spec("command"), "conncheck", '{"ids":["none"]}');
    expect(answer).toContain("success: []");
    expect(await whole("python3", "command.py", spec("command"), "none")).toContain("error: method-not-found");
    expect(await whole("python2", "getzmquris.py", spec("command"))).toBe(
      `command: ${spec("command")}\npublish-pull: ${spec("push")}\npublish-sub: ${spec("sub")}\n`,
    );
    expect(await whole("python2", "recover.py", spec("command"))).toBe("");
  });

  test("when items are published in each way, then streams and WebSockets get them", async () => {
    const stream = await hold("scripts");
    const socket = await SocketClient.open(`${installation.url.replace("http", "ws")}/woh?channel=scripts`);
    const push = ["--spec", spec("push")];
    expect(await whole("python2", "publish.py", ...push, "--id", "1", "scripts", "by push")).toBe("Published\n");
    await stream.received("by push\n");
    await socket.received("by push");
    expect(await whole("python2", "publish2.py", "scripts", "by sub")).toBe("Published\n");
    await stream.received("by sub\n");
    const bin = join(directory, "bin");
    mkdirSync(bin);
    // It knows one address only.
    writeFileSync(
      join(bin, "curl"),
      `#!/bin/sh\nPATH=\${PATH#*:} exec curl -s "$1" "$2" ${installation.controlUrl}/publish/\n`,
    );
    chmodSync(join(bin, "curl"), 0o755);
    const curl = spawnSync("sh", [join(TOOLS, "publish_curl.sh"), "scripts", "by curl"], {
      encoding: "utf8",
      env: { PATH: `${bin}:${process.env.PATH}` },
    });
    expect(curl.stdout).toBe("Published\n");
    await stream.received("by curl\n");
    await whole("python2", "publish.py", ...push, "--close", "scripts");
    await until("the end of the stream", () => stream.end);
    socket.socket.close();
  });

  test("when statistics and subscriptions are followed, then they are shown", async () => {
    const all = start("python3", "monitorstats.py", stats(), "message,sub");
    const subs = start("python2", "monitorsubs.py", stats());
    const sockets = start("python3", "monitorsubsock.py", spec("sub"));
    await until("the followers", async () => {
      (await hold("first")).close();
      return [all, subs, sockets].every((one) => one.output.includes("first"));
    });
    const stream = await hold("watched");
    await subs.said(/^SUB mode=stream channel=watched$/m);
    await sockets.said(/^SUB watched$/m);
    await installation.publish({ channel: "watched", formats: { "http-stream": { content: "x\n" } } });
    await all.said(/^message .*watched/m);
    stream.close();
    await subs.said(/^UNSUB mode=stream channel=watched$/m);
    await sockets.said(/^UNSUB watched$/m);
  });

  test("when items go through the brokers, then only channels with subscribers get through", async () => {
    const [pub, pull] = [`ipc://${directory}/broker-pub`, `ipc://${directory}/broker-pull`];
    const source = start("python2", "sourcebroker.py", pub, pull);
    const edge = start("python2", "edgebroker.py", spec("sub"), pub);
    const stream = await hold("brokered");
    await edge.said(/^subscribing \[brokered\]$/m);
    await source.said(/^subscribing \[brokered\]$/m);
    await whole("python2", "publish.py", "--spec", pull, "brokered", "through");
    await stream.received("through\n");
    stream.close();
    await source.said(/^unsubscribing \[brokered\]$/m);
  });

  test("when a route leads to the handler of ZHTTP requests, then it answers", async () => {
    start("python2", "zhttpreqhandler.py");
    const response = await fetch(`${installation.url}/zhttp`);
    expect(await response.text()).toBe("hello there\n");
  });

  test("when the store of sessions is there, then it is asked", async () => {
    const store = start("python2", "gripstate.py", `ipc://${directory}/state`);
    await until("a question", async () => {
      const response = await fetch(`${installation.url}/answer?size=3`);
      expect(await response.text()).toBe("xxx");
      return /^IN session-detect-rules-get .*\nOUT \[\]$/m.test(store.output);
    });
  });
});
