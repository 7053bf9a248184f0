import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import {
  freePorts,
  Installation,
  type InstallationOptions,
  prepareGround,
  ROOT,
  TestProcess,
  until,
} from "@pushpin/testkit";
import { afterEach, describe, expect, test } from "vitest";

const ROUTES = ["* test"];
const running: Installation[] = [];
const others: TestProcess[] = [];

afterEach(async () => {
  for (const one of others.splice(0)) await one.stop();
  for (const one of running.splice(0)) {
    for (const pid of pidsOf(one).values()) if (isAlive(pid)) resume(pid);
    await one.stop();
  }
});

async function start(options: Partial<InstallationOptions> = {}): Promise<Installation> {
  const installation = await Installation.start({ routes: ROUTES, ...options });
  running.push(installation);
  return installation;
}

async function launch(options: Partial<InstallationOptions> = {}): Promise<Installation> {
  const installation = await Installation.launch({ routes: ROUTES, ...options });
  running.push(installation);
  return installation;
}

function pidsOf({ directory }: Installation): Map<string, number> {
  const run = join(directory, "run");
  const pids = new Map<string, number>();
  if (!existsSync(run)) return pids;
  for (const name of readdirSync(run).filter((one) => /(?<!runner)\.pid$/.test(one)))
    pids.set(name, Number(readFileSync(join(run, name), "utf8")));
  return pids;
}

const resume = (pid: number) => process.kill(pid, "SIGCONT");
const FILES = ["connmgr.pid", "httpclient.pid", "pushpin-handler.pid", "pushpin-proxy.pid"];

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

async function answers(installation: Installation): Promise<string> {
  const response = await fetch(installation.url, { signal: AbortSignal.timeout(5000) });
  return response.text();
}

const HELLO = "Hello from the Pushpin test handler!\n";

describe("given a running runner", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "operations R8, R9: when it gets %s, then all end, pid files are gone, and it ends with 0",
    async (signal) => {
      const installation = await start();
      expect([...pidsOf(installation).keys()].sort()).toEqual(FILES);
      expect(await answers(installation)).toBe(HELLO); // operations R22
      const pids = [...pidsOf(installation).values()];
      const startedMs = performance.now();
      installation.runner.child.kill(signal);
      expect(await installation.runner.ended()).toEqual({ code: 0, signal: null });
      expect(performance.now() - startedMs).toBeLessThan(5000);
      expect(pids.filter(isAlive)).toEqual([]);
      expect(pidsOf(installation).size).toBe(0);
      expect(installation.runner.output).toContain("stopping...");
    },
  );

  test("operations R10: when restarts are off and the handler is killed, then all end with 1", async () => {
    const installation = await start({ config: { runner: { restart: "false" } } });
    process.kill(pidsOf(installation).get("pushpin-handler.pid") ?? 0, "SIGKILL");
    expect(await installation.runner.ended()).toEqual({ code: 1, signal: null });
    expect(installation.runner.output).toContain("handler: Exited unexpectedly reason=signal SIGKILL");
  });

  test("operations R11: when restarts are off and connmgr is told to end, then all end with 1", async () => {
    const installation = await start({ config: { runner: { restart: "false" } } });
    process.kill(pidsOf(installation).get("connmgr.pid") ?? 0, "SIGTERM");
    expect(await installation.runner.ended()).toEqual({ code: 1, signal: null });
    expect(installation.runner.output).toContain("connmgr: Exited unexpectedly");
  });

  test("operations R12: when a child does not react, then it is ended by force after 4 s, and that is no error", async () => {
    const installation = await start();
    process.kill(pidsOf(installation).get("pushpin-proxy.pid") ?? 0, "SIGSTOP");
    const startedMs = performance.now();
    installation.runner.child.kill("SIGTERM");
    expect(await installation.runner.ended()).toEqual({ code: 0, signal: null });
    expect(performance.now() - startedMs).toBeGreaterThan(3900);
    expect(installation.runner.output).toContain("proxy taking too long, forcing quit");
  });

  test("operations R13: when told twice, then it ends at once, and so do its children", async () => {
    const installation = await start();
    const pid = pidsOf(installation).get("pushpin-proxy.pid") ?? 0;
    process.kill(pid, "SIGSTOP");
    const startedMs = performance.now();
    installation.runner.child.kill("SIGTERM");
    await installation.runner.said(/stopping\.\.\./);
    installation.runner.child.kill("SIGTERM");
    await installation.runner.ended();
    expect(performance.now() - startedMs).toBeLessThan(3500);
    await until("the child's end", () => !isAlive(pid));
  });

  test("operations R21: when output is merged, then lines of children carry their names", async () => {
    const installation = await start();
    await installation.runner.said(
      /^\[INFO\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[proxy\] routes loaded with 1 entries$/m,
    );
  });

  test("when the configuration has changed at SIGHUP, then what needs a restart is named", async () => {
    const installation = await start();
    const file = join(installation.directory, "pushpin.conf");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace("logdir=log", "logdir=log\nclient_maxconn=77"));
    installation.runner.child.kill("SIGHUP");
    await installation.runner.said(/changed settings need a restart: runner\/client_maxconn$/m);
    writeFileSync(file, text.replace("logdir=log", "logdir=log\nnonsense=77"));
    installation.runner.child.kill("SIGHUP");
    await installation.runner.said(/configuration not usable: .*unknown key runner\/nonsense/);
    expect(await answers(installation)).toBe(HELLO);
  });
});

describe("given a child that cannot start", () => {
  test("when a port is in use, then its address is named and all end with 1", async () => {
    const holder = createServer().listen(0, "127.0.0.1");
    await until("the port", () => holder.listening);
    const { port } = holder.address() as { port: number };
    const installation = await launch({ config: { runner: { http_port: `127.0.0.1:${port}` } } });
    expect(await installation.runner.ended(15_000)).toEqual({ code: 1, signal: null });
    expect(installation.runner.output).toContain(
      `connmgr: failed to start: failed to bind 127.0.0.1:${port}: Address already in use`,
    );
    await new Promise((resolve) => holder.close(resolve));
  });

  test("when the handler cannot bind, then the runner names the handler's own reason", async () => {
    const [port = 0] = await freePorts(1);
    const spec = `tcp://127.0.0.1:${port}`;
    const installation = await launch({
      config: { handler: { push_in_spec: spec, command_spec: spec } },
    });
    expect(await installation.runner.ended(15_000)).toEqual({ code: 1, signal: null });
    expect(installation.runner.output).toMatch(
      new RegExp(`handler: failed to start: unable to bind to ${spec}: Address already in use`),
    );
    expect(pidsOf(installation).size).toBe(0);
  });

  test("when it keeps ending after a good start, then each try is a line, and the others stay", async () => {
    const installation = await start();
    const holder = createServer();
    const before = pidsOf(installation);
    process.kill(before.get("pushpin-handler.pid") ?? 0, "SIGKILL");
    await until("the port to be ours", () =>
      new Promise<boolean>((resolve) => {
        if (holder.listening) return resolve(true);
        holder.once("error", () => resolve(false));
        holder.listen(installation.pushPort, "127.0.0.1", () => resolve(true));
      }),
    );
    const blocked = new RegExp(`Exited unexpectedly reason=unable to bind to tcp://127.0.0.1:${installation.pushPort}`);
    await installation.runner.said(blocked);
    expect(await answers(installation)).toBe(HELLO);
    await new Promise((resolve) => holder.close(resolve));
    await installation.runner.said(/handler is back afterMs=\d+/);
    expect(pidsOf(installation).get("connmgr.pid")).toBe(before.get("connmgr.pid"));
  });
});

describe("given separate log files", () => {
  test("operations R14: when they are renamed and SIGHUP comes, then all are opened anew", async () => {
    const installation = await launch({ arguments: ["--no-merge-output", "--logfile=runner.log"] });
    const own = join(installation.directory, "runner.log");
    await until("the start", () => existsSync(own) && /started$/m.test(readFileSync(own, "utf8")));
    const log = join(installation.directory, "log");
    const names = ["connmgr.log", "httpclient.log", "pushpin-handler.log", "pushpin-proxy.log"];
    expect(readdirSync(log).sort()).toEqual(names);
    for (const name of names) renameSync(join(log, name), join(log, `${name}.1`));
    renameSync(own, `${own}.1`);
    installation.runner.child.kill("SIGHUP");
    for (const name of names) {
      await until(`a new ${name}`, () => existsSync(join(log, name)));
      expect(readFileSync(join(log, `${name}.1`), "utf8")).toMatch(/ reloading\n$/);
    }
    expect(readFileSync(`${own}.1`, "utf8")).toMatch(/ reloading\n$/);
    expect(existsSync(own)).toBe(true);
    expect(readFileSync(`${own}.1`, "utf8")).toMatch(/starting connmgr\n/);
  });
});

test("given a running runner, when it is started a second time, then that is refused and changes nothing", async () => {
  const installation = await start();
  const before = pidsOf(installation);
  const second = new TestProcess(
    "pushpin",
    [process.execPath, join(ROOT, "runner/bin/pushpin.js"), "--config=pushpin.conf", "-m"],
    { cwd: installation.directory },
  );
  others.push(second);
  expect(await second.ended()).toEqual({ code: 1, signal: null });
  const { pid } = installation.runner.child;
  expect(second.output).toContain(`already running: pid ${pid} (${join(installation.directory, "run/runner.pid")})`);
  expect(pidsOf(installation)).toEqual(before);
  expect(installation.runner.output).not.toContain("is back");
  const file = join(installation.directory, "run/runner.pid");
  expect(readFileSync(file, "utf8")).toBe(`${pid}\n`);
  expect(await answers(installation)).toBe(HELLO);
});

describe("given listeners that cannot all be had", () => {
  test.each([
    [{ http_port: "127.0.0.1:PORT,PORT" }, "address given twice: port PORT in runner/http_port"],
    [{ https_ports: "PORT" }, "address given twice: port PORT in runner/http_port and in runner/https_ports"],
    [{ https_ports: "[::]:PORT" }, "address given twice: port PORT in runner/http_port and in runner/https_ports"],
    [{ http_port: "CONTROL" }, "address given twice: port CONTROL in runner/http_port and in handler/push_in_http_port"],
    [{ local_ports: "run/a,run/./a?mode=600" }, "run/a in runner/local_ports"],
  ])("when the configuration says %j, then nothing is started, and it is said why", async (given, message) => {
    const ground = await prepareGround({ routes: ROUTES });
    const filled = (text: string) =>
      text.replaceAll("PORT", String(ground.port)).replaceAll("CONTROL", String(ground.controlPort));
    const runner = Object.fromEntries(Object.entries(given).map(([key, value]) => [key, filled(value)]));
    const config = readFileSync(ground.configFile, "utf8");
    const kept = Object.hasOwn(given, "http_port") ? config.replace(/^http_port=.*\n/m, "") : config;
    const lines = Object.entries(runner).map(([key, value]) => `${key}=${value}\n`);
    writeFileSync(ground.configFile, kept.replace("[runner]\n", `[runner]\n${lines.join("")}`));
    const second = new TestProcess(
      "pushpin",
      [process.execPath, join(ROOT, "runner/bin/pushpin.js"), "--config=pushpin.conf", "-m"],
      { cwd: ground.directory },
    );
    others.push(second);
    expect(await second.ended()).toEqual({ code: 1, signal: null });
    expect(second.output).toContain(filled(message));
    expect(second.output.trim().split("\n")).toHaveLength(1);
    rmSync(ground.directory, { recursive: true, force: true });
  });
});

describe("given variables that Kubernetes sets for services called like our parts", () => {
  const KUBERNETES = {
    PUSHPIN_HANDLER_SERVICE_HOST: "10.0.0.1",
    PUSHPIN_HANDLER_SERVICE_PORT: "5561",
    PUSHPIN_HANDLER_SERVICE_PORT_CONTROL: "5561",
    PUSHPIN_HANDLER_PORT: "tcp://10.0.0.1:5561",
    PUSHPIN_HANDLER_PORT_5561_TCP: "tcp://10.0.0.1:5561",
    PUSHPIN_HANDLER_PORT_5561_TCP_ADDR: "10.0.0.1",
    PUSHPIN_SERVICE_HOST: "10.0.0.1",
    PUSHPIN_PORT_7999_TCP_ADDR: "10.0.0.1",
  };

  test("when it starts, then it says once that it does not heed them", async () => {
    const installation = await start({ env: KUBERNETES });
    expect(installation.runner.output.match(/variables of Kubernetes ignored: .*/g)).toEqual([
      "variables of Kubernetes ignored: PUSHPIN_HANDLER_SERVICE_HOST, PUSHPIN_HANDLER_SERVICE_PORT, " +
        "PUSHPIN_HANDLER_SERVICE_PORT_CONTROL, PUSHPIN_HANDLER_PORT, PUSHPIN_HANDLER_PORT_5561_TCP, " +
        "PUSHPIN_HANDLER_PORT_5561_TCP_ADDR",
    ]);
  });

  test("when a setting is misspelt like one of them, then it is still refused", async () => {
    const installation = await launch({ env: { PUSHPIN_HANDLER_PUSH_IN_HTP_PORT: "5561" } });
    expect(await installation.runner.ended()).toEqual({ code: 1, signal: null });
    expect(installation.runner.output).toContain("unknown variable PUSHPIN_HANDLER_PUSH_IN_HTP_PORT");
  });
});

describe("given an instance number", () => {
  test("operations R15: when it is 1, then files, sockets and control ports are its own", async () => {
    const [port = 0] = await freePorts(1);
    const installation = await start({ arguments: ["--id=1", `--port=127.0.0.1:${port}`] });
    const names = readdirSync(join(installation.directory, "run"));
    expect(names.filter((one) => !one.startsWith("p1-"))).toEqual([]);
    expect([...pidsOf(installation).keys()].sort()).toEqual(FILES.map((one) => `p1-${one}`));
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe(HELLO);
    const control = await fetch(`http://127.0.0.1:${installation.controlPort + 10}/`);
    expect(control.status).toBeLessThan(500);
    await expect(fetch(installation.url)).rejects.toThrow();
  });
});

describe("given old settings", () => {
  test("operations R23: when rundir stands in [runner], then it works with a warning", async () => {
    const installation = await launch({
      config: { global: { rundir: "run" }, runner: { rundir: "run" } },
    });
    const file = join(installation.directory, "pushpin.conf");
    await installation.runner.stop();
    writeFileSync(file, readFileSync(file, "utf8").replace("rundir=run\n", ""));
    const again = new TestProcess(
      "pushpin",
      [process.execPath, join(ROOT, "runner/bin/pushpin.js"), "--config=pushpin.conf", "-m"],
      { cwd: installation.directory },
    );
    others.push(again);
    await again.said(/\.\d{3} started$/m);
    expect(again.output).toContain("[WARN]");
    expect(again.output).toContain("rundir in [runner] section is deprecated. put in [global]");
  });
});

describe("given several workers", () => {
  test("when each role has two, then all serve, and each is started again by itself", async () => {
    const installation = await start({ config: { runner: { workers: 2 } } });
    expect([...pidsOf(installation).keys()].sort()).toEqual([
      "connmgr-1.pid",
      "connmgr.pid",
      "httpclient-1.pid",
      "httpclient.pid",
      "pushpin-handler.pid",
      "pushpin-proxy-1.pid",
      "pushpin-proxy.pid",
    ]);
    const sockets = readdirSync(join(installation.directory, "run"));
    for (const name of ["connmgr-out", "connmgr-client-in", "accept", "proxy-command"])
      expect(sockets.filter((one) => one.startsWith(`p-${name}-`) && /-\d$/.test(one) && !one.includes("stream")).sort()).toEqual([
        `p-${name}-0`,
        `p-${name}-1`,
      ]);
    await until("answers from both proxies", async () => {
      expect(await answers(installation)).toBe(HELLO);
      const seen = ["proxy-0", "proxy-1"].map((name) =>
        new RegExp(`\\[${name}\\] GET `).test(installation.runner.output),
      );
      return seen.every(Boolean);
    });
    const before = pidsOf(installation);
    process.kill(before.get("pushpin-proxy-1.pid") ?? 0, "SIGKILL");
    await installation.runner.said(/proxy-1 is back/);
    const after = pidsOf(installation);
    expect(after.get("pushpin-proxy-1.pid")).not.toBe(before.get("pushpin-proxy-1.pid"));
    expect(after.get("pushpin-proxy.pid")).toBe(before.get("pushpin-proxy.pid"));
  });
});

describe("given a runner that was killed", () => {
  const again = (installation: Installation) => {
    const next = new TestProcess(
      "pushpin",
      [process.execPath, join(ROOT, "runner/bin/pushpin.js"), "--config=pushpin.conf", "-m"],
      { cwd: installation.directory },
    );
    others.push(next);
    return next;
  };

  test("when it is started again, then it adopts its children, restarts and stops them", async () => {
    const installation = await start();
    const before = pidsOf(installation);
    installation.runner.child.kill("SIGKILL");
    await installation.runner.ended();
    expect(await answers(installation)).toBe(HELLO);
    const next = again(installation);
    await next.said(/\.\d{3} started$/m);
    for (const name of ["connmgr", "httpclient", "proxy", "handler"])
      expect(next.output).toMatch(new RegExp(`adopted ${name} pid=\\d+`));
    expect(pidsOf(installation)).toEqual(before);
    process.kill(before.get("connmgr.pid") ?? 0, "SIGKILL");
    await next.said(/connmgr is back/);
    expect(await answers(installation)).toBe(HELLO);
    next.child.kill("SIGTERM");
    expect(await next.ended()).toEqual({ code: 0, signal: null });
    expect([...before.values()].filter(isAlive)).toEqual([]);
  });

  test("when a child that was adopted is stopped, then it is replaced", async () => {
    const installation = await start({ config: { runner: { hang_timeout: 2 } } });
    const pid = pidsOf(installation).get("pushpin-handler.pid") ?? 0;
    installation.runner.child.kill("SIGKILL");
    await installation.runner.ended();
    const next = again(installation);
    await next.said(/\.\d{3} started$/m);
    process.kill(pid, "SIGSTOP");
    await next.said(/handler: not responding \(stopped for more than 2 s\), ending it/);
    await next.said(/handler is back/);
    expect(isAlive(pid)).toBe(false);
    expect(await answers(installation)).toBe(HELLO);
  });

  test("when its settings have changed, then its children are replaced", async () => {
    const installation = await start();
    const before = pidsOf(installation);
    installation.runner.child.kill("SIGKILL");
    await installation.runner.ended();
    const file = join(installation.directory, "pushpin.conf");
    writeFileSync(file, readFileSync(file, "utf8").replace("logdir=log", "logdir=log\nclient_maxconn=77"));
    const next = again(installation);
    await next.said(/\.\d{3} started$/m);
    expect(next.output).toMatch(/stopping connmgr of an earlier runner pid=\d+/);
    expect([...before.values()].filter(isAlive)).toEqual([]);
    expect(await answers(installation)).toBe(HELLO);
  });
});

describe("given listening sockets of a service manager", () => {
  test("when one is for clients and one for control, then they are used in the place of our own", async () => {
    const [client = 0, control = 0] = await freePorts(2);
    const installation = await launch();
    await installation.runner.stop();
    const script = join(installation.directory, "activate.py");
    mkdirSync(installation.directory, { recursive: true });
    writeFileSync(
      script,
      `import os, socket, sys
fds = []
for port in (${client}, ${control}):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port)); s.listen(16); fds.append(os.dup(s.fileno())); s.close()
high = [os.dup2(fd, 20 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high): os.dup2(fd, 3 + i, inheritable=True)
os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="http:control")
os.execv(sys.argv[1], sys.argv[1:])
`,
    );
    const runner = new TestProcess(
      "pushpin",
      ["python3", script, process.execPath, join(ROOT, "runner/bin/pushpin.js"), "--config=pushpin.conf", "-m"],
      { cwd: installation.directory },
    );
    others.push(runner);
    await runner.said(/\.\d{3} started$/m);
    expect(await (await fetch(`http://127.0.0.1:${client}/`)).text()).toBe(HELLO);
    expect((await fetch(`http://127.0.0.1:${control}/`)).status).toBeLessThan(500);
    await expect(fetch(installation.url)).rejects.toThrow();
  });
});
