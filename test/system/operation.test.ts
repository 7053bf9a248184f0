import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Backend,
  HttpStream,
  Installation,
  makeTestDirectory,
  ROOT,
  SocketClient,
  until,
} from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";

const SERVICES = ["connmgr", "httpclient", "proxy", "handler"] as const;

let backend: Backend;
beforeAll(async () => {
  backend = await startGripBackend();
});
afterAll(() => backend?.stop());

function pidOf(installation: Installation, service: string): number | undefined {
  const run = join(installation.directory, "run");
  const file = readdirSync(run).find((one) => one.endsWith(".pid") && one.includes(service));
  if (file === undefined) return undefined;
  try {
    const pid = Number(readFileSync(join(run, file), "utf8"));
    return pid > 0 ? pid : undefined;
  } catch {
    return undefined; // it ended while we looked
  }
}

const isAlive = (pid: number) => existsSync(`/proc/${pid}`);

describe("given a running installation", () => {
  let installation: Installation;

  beforeAll(async () => {
    installation = await Installation.start({ routes: [`* ${backend.address}`] });
  });
  afterAll(() => installation?.stop());

  const works = async () => {
    const response = await fetch(`${installation.url}/echo`, { signal: AbortSignal.timeout(5000) });
    return response.status === 200;
  };

  for (const service of SERVICES)
    // proxy R157: new requests wait for the proxy's return.
    test(`when ${service} is killed, then it is started again and the others stay`, async () => {
      const before = new Map(SERVICES.map((one) => [one, pidOf(installation, one)]));
      const pid = before.get(service) as number;
      expect(isAlive(pid)).toBe(true);
      process.kill(pid, "SIGKILL");
      const fresh = await until(`another ${service}`, () => {
        const now = pidOf(installation, service);
        return now !== undefined && now !== pid && isAlive(now) && now;
      });
      expect(fresh).not.toBe(pid);
      for (const other of SERVICES)
        if (other !== service) expect(pidOf(installation, other)).toBe(before.get(other));
      await until("requests to be answered again", () => works().catch(() => false));
      await until("the line about it", () =>
        installation.runner.output.includes(`${service}: Exited unexpectedly`),
      );
      expect(installation.runner.exit).toBeUndefined();
    });

  test("operations C15; proxy R27, R28: when the routes file is replaced or deleted, then the newest routes are in force", async () => {
    const file = join(installation.directory, "routes");
    expect((await HttpStream.whole(`${installation.url}/echo`)).status).toBe(200);
    writeFileSync(`${file}.new`, "other.test test\n");
    renameSync(`${file}.new`, file);
    await until(
      "the old route to be gone",
      async () => (await HttpStream.whole(`${installation.url}/echo`)).status === 502,
    );
    writeFileSync(`${file}.new`, `* ${backend.address}\nbroken line that is none\n`);
    renameSync(`${file}.new`, file);
    await until("the route to be back", works);
    await until("the complaint", () => /routes:2: /.test(installation.runner.output));
    await installation.runner.said(/routes file changed, reloading[^]*routes loaded with 1 entries/);
    rmSync(file);
    await until("the warning", () =>
      installation.runner.output.includes("unable to open routes file"),
    );
    expect(await works()).toBe(true);
    writeFileSync(file, `* ${backend.address}\n`);
  });

  test("proxy R157: when the proxy is away, then requests wait for it, and held streams go on", async () => {
    const stream = await HttpStream.open(`${installation.url}/stream?channel=away`);
    await stream.received("[open]");
    const pid = pidOf(installation, "proxy") as number;
    process.kill(pid, "SIGKILL");
    await until("its end", () => !isAlive(pid));
    const waiting = HttpStream.whole(`${installation.url}/echo`);
    await until("an item", async () => {
      const formats = { "http-stream": { content: "still here" } };
      await installation.publish({ channel: "away", formats });
      return stream.text.includes("still here");
    });
    expect((await waiting).status).toBe(200);
    stream.close();
  });

  test("proxy R158: when everything is told to stop, then all processes are gone within five seconds", async () => {
    const pids = SERVICES.map((one) => pidOf(installation, one) as number);
    const stream = await HttpStream.open(`${installation.url}/stream?channel=stop`);
    await stream.received("[open]");
    const startedMs = performance.now();
    installation.runner.child.kill("SIGTERM");
    expect(await installation.runner.ended()).toEqual({ code: 0, signal: null });
    expect(performance.now() - startedMs).toBeLessThan(5500);
    expect(pids.filter(isAlive)).toEqual([]);
    await stream.finished();
  });
});

describe("given separate log files", () => {
  let installation: Installation;

  afterEach(() => installation?.stop());

  test("when the runner gets SIGHUP, then every process opens its log anew", async () => {
    installation = await Installation.start({
      routes: [`* ${backend.address}`],
      arguments: ["--no-merge-output"],
    });
    const log = join(installation.directory, "log");
    const file = join(log, readdirSync(log).find((one) => one.includes("proxy")) ?? "none");
    await HttpStream.whole(`${installation.url}/echo?first`);
    await until("a line", () => readFileSync(file, "utf8").includes("/echo?first"));
    renameSync(file, `${file}.1`);
    installation.runner.child.kill("SIGHUP");
    await until("a new file", () => existsSync(file));
    await HttpStream.whole(`${installation.url}/echo?second`);
    await until("a line in the new file", () =>
      readFileSync(file, "utf8").includes("/echo?second"),
    );
    expect(readFileSync(`${file}.1`, "utf8")).not.toContain("/echo?second");
    expect(readFileSync(file, "utf8")).toMatch(
      /^\[INFO\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} GET .* code=200/m,
    );
  });
});

describe("given settings that may change while clients are held", () => {
  let installation: Installation;

  afterEach(() => installation?.stop());

  test("when they change and the runner gets SIGHUP, then they are in force, and no client notices", async () => {
    installation = await Installation.start({
      routes: [`* ${backend.address}`, "nowhere.test 127.0.0.1:1"],
    });
    const file = join(installation.directory, "pushpin.conf");
    const failing = async () => {
      const headers = { Host: "nowhere.test" };
      return (await HttpStream.whole(`${installation.url}/`, { headers })).text;
    };
    expect(await failing()).toBe("Error while proxying to origin.\n");
    const stream = await HttpStream.open(`${installation.url}/stream?channel=kept`);
    await stream.received("[open]");
    const text = readFileSync(file, "utf8")
      .replace("[proxy]", "[proxy]\ndebug=true\nlog_user_agent=true")
      .replace("[handler]", "[handler]\nmessage_rate=1000\nid_cache_ttl=60")
      .replace("log_level=2", "log_level=3")
      .replace("[runner]", "[runner]\nclient_maxconn=77\nclient_headers_max=20");
    writeFileSync(file, text);
    installation.runner.child.kill("SIGHUP");
    await installation.runner.said(/changed settings need a restart: runner\/client_maxconn$/m);
    await until("the reasons of errors", async () => (await failing()).includes("127.0.0.1:1"));
    await until("a smaller limit for clients", async () => {
      const headers = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`X-${n}`, "x"]));
      return (await HttpStream.whole(`${installation.url}/echo`, { headers })).status === 431;
    });
    const formats = { "http-stream": { content: "first;" } };
    await until("duplicates to be dropped", async () => {
      const before = stream.text.length;
      const id = String(Math.random());
      await installation.publish({ channel: "kept", id, formats }, { channel: "kept", id, formats });
      await installation.publish({ channel: "kept", formats: { "http-stream": { content: "|" } } });
      await stream.received("|");
      return stream.text.slice(before).split("first;").length === 2;
    });
    await installation.runner.said(/^\[DEBUG\]/m);
    await until("user agents in the log", async () => {
      const headers = { "User-Agent": "someone" };
      await HttpStream.whole(`${installation.url}/echo`, { headers });
      return installation.runner.output.includes("someone");
    });
    stream.close();
  });

  test("when backends may have fewer requests, then those on their way go on, and more are refused", async () => {
    installation = await Installation.start({ routes: [`* ${backend.address}`] });
    const socket = await SocketClient.open(`${installation.url.replace("http", "ws")}/plain`);
    const file = join(installation.directory, "pushpin.conf");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, `${text}\n[httpclient]\nmax_open_requests=1\n`);
    installation.runner.child.kill("SIGHUP");
    await until(
      "a refusal",
      async () => (await HttpStream.whole(`${installation.url}/echo`)).status === 502,
    );
    socket.send("still here");
    await socket.received("still here");
    socket.socket.close();
    await socket.end();
    await until(
      "a place",
      async () => (await HttpStream.whole(`${installation.url}/echo`)).status === 200,
    );
    expect(installation.runner.output).not.toContain("need a restart");
  });

  test("when they cannot be used, then what was in force stays in force", async () => {
    installation = await Installation.start({ routes: ["nowhere.test 127.0.0.1:1", "* test"] });
    const file = join(installation.directory, "pushpin.conf");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace("[proxy]", "[proxy]\ndebug=true\nlog_from=perhaps"));
    installation.runner.child.kill("SIGHUP");
    await installation.runner.said(/\[proxy\] configuration not usable: .*log_from: expected true/);
    const response = await HttpStream.whole(`${installation.url}/`, {
      headers: { Host: "nowhere.test" },
    });
    expect(response.text).toBe("Error while proxying to origin.\n");
  });
});

describe("given sockets in the file system", () => {
  let installation: Installation;

  afterEach(() => installation?.stop());

  test("operations C14, C16: when modes are configured, then they are the modes of the sockets", async () => {
    const group = spawnSync("id", ["-gn"], { encoding: "utf8" }).stdout.trim();
    installation = await Installation.start({
      routes: ["* test"],
      config: {
        runner: { local_ports: `{rundir}/{ipc_prefix}server?mode=620&group=${group}` },
        handler: { ipc_file_mode: "660" },
      },
    });
    const run = join(installation.directory, "run");
    const modeOf = (name: string) => (statSync(join(run, name)).mode & 0o777).toString(8);
    expect(modeOf("p-server")).toBe("620");
    expect(modeOf("p-stats")).toBe("660");
    // Made by the connection manager, for which the handler's key is none.
    expect(modeOf("p-connmgr-out")).not.toBe("660");
  });
});

describe("given routes on the command line", () => {
  let installation: Installation;

  afterEach(() => installation?.stop());

  test("proxy R29: when one is bad, then the others are in force, and the file does not count", async () => {
    installation = await Installation.start({
      routes: [`* ${backend.address}`],
      arguments: ["--route=127.0.0.1 test", "--route=bad"],
    });
    const response = await HttpStream.whole(`${installation.url}/`);
    expect(response.text).toBe("Hello from the Pushpin test handler!\n");
    await installation.runner.said(
      /<route>:1: must specify condition and at least one target/,
    );
  });
});

describe("given something the runner cannot work with", () => {
  const runner = join(ROOT, "runner/bin/pushpin.js");
  const start = (config: string | undefined, ...args: string[]) => {
    const directory = makeTestDirectory();
    try {
      if (config !== undefined) writeFileSync(join(directory, "pushpin.conf"), config);
      const done = spawnSync(process.execPath, [runner, ...args], {
        cwd: directory,
        encoding: "utf8",
        timeout: 20_000,
      });
      return { code: done.status, text: done.stdout + done.stderr };
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };

  test.each([
    [["--nonsense"], /nonsense/],
    [["--config=/nonexistent/pushpin.conf"], /nonexistent/],
    [["--config=pushpin.conf", "--loglevel=x"], /log ?level/i],
  ])("when the command line is %j, then it ends with 1 and names the fault", (args, text) => {
    const { code, text: said } = start("[runner]\nservices=proxy\n", ...args);
    expect(code).toBe(1);
    expect(said).toMatch(text);
  });

  test.each([
    ["[runner]\nservices=proxy,nonsense\n", /nonsense/],
    ["[runner]\nservices=\n", /service/i],
    ["[runner]\nhttp_port=99999\n", /99999|port/i],
    ["[runner]\nclient_maxconn=many\n", /client_maxconn/],
  ])("when the configuration is %j, then it ends with 1 and names the fault", (config, text) => {
    const { code, text: said } = start(config, "--config=pushpin.conf");
    expect(code).toBe(1);
    expect(said).toMatch(text);
  });

  test("when asked for version and help, then it answers and ends with 0", () => {
    expect(start(undefined, "--version")).toMatchObject({ code: 0 });
    expect(start(undefined, "--help").text).toContain("--config");
  });
});
