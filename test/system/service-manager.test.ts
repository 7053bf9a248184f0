import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  freePorts,
  type Ground,
  leavesOut,
  makeTestDirectory,
  missingPrograms,
  prepareGround,
  ROOT,
  TestProcess,
  until,
} from "@pushpin/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const BINARIES = ["pushpin", "pushpin-connmgr", "pushpin-httpclient", "pushpin-proxy", "pushpin-handler"];

let directory: string;
let ground: Ground;
const running: TestProcess[] = [];

beforeEach(async () => {
  directory = makeTestDirectory();
  ground = await prepareGround({ routes: ["* test"] });
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
  for (const one of [directory, ground.directory]) rmSync(one, { recursive: true, force: true });
});

/** A test that needs a program which is not everywhere. */
function needs(program: string) {
  return test.skipIf(leavesOut("a test of service managers", missingPrograms(program)));
}

function run(command: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const [file = "", ...args] = command;
  const { status, stdout, stderr } = spawnSync(file, args, {
    cwd: directory,
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  return { status, output: `${stdout}${stderr}` };
}

function follow(name: string, command: readonly string[], env: NodeJS.ProcessEnv = {}): TestProcess {
  const one = new TestProcess(name, command, { cwd: ground.directory, env });
  running.push(one);
  return one;
}

/** Puts the files of services under the test's directory, with programs that are there. */
function install(): { destination: string; units: string } {
  const destination = join(directory, "dest");
  const prefix = join(directory, "prefix");
  mkdirSync(join(prefix, "bin"), { recursive: true });
  for (const name of BINARIES) {
    writeFileSync(join(prefix, "bin", name), "#!/bin/sh\n");
    chmodSync(join(prefix, "bin", name), 0o755);
  }
  const script = join(ROOT, "packaging/install.sh");
  const done = run(["sh", script], { DESTDIR: destination, PREFIX: prefix });
  expect(done.status, done.output).toBe(0);
  return { destination, units: join(destination, "usr/lib/systemd/system") };
}

describe("given the files of system services, installed", () => {
  test("when they are installed again, then what is in /etc is kept", () => {
    const { destination } = install();
    const config = join(destination, "etc/pushpin/pushpin.conf");
    expect(readFileSync(config, "utf8")).toMatch(/^rundir=\/run\/pushpin\n[^]*^logdir=\/var\/log\/pushpin$/m);
    const checked = run([process.execPath, join(ROOT, "runner/bin/pushpin.js"), "check", `--config=${config}`]);
    expect(checked.status, checked.output).toBe(0);
    for (const name of ["pushpin/pushpin.conf", "pushpin/routes", "logrotate.d/pushpin"])
      writeFileSync(join(destination, "etc", name), "mine\n");
    install();
    for (const name of ["pushpin/pushpin.conf", "pushpin/routes", "logrotate.d/pushpin"])
      expect(readFileSync(join(destination, "etc", name), "utf8")).toBe("mine\n");
  });

  needs("systemd-analyze")("when systemd reads the units, then it has nothing to say", () => {
    const { units } = install();
    const names = readdirSync(units);
    expect(names).toContain("pushpin.service");
    const verified = run(["systemd-analyze", "verify", "--man=no", ...names.map((one) => join(units, one))], {
      SYSTEMD_UNIT_PATH: `${units}:`,
    });
    expect(verified).toEqual({ status: 0, output: "" });
    for (const name of names.filter((one) => one.endsWith(".service"))) {
      const security = run(["systemd-analyze", "security", "--offline=yes", "--threshold=25", join(units, name)]);
      expect(security.status, security.output).toBe(0);
    }
  });

  needs("logrotate")("when logrotate reads its entry, then it has no complaint", () => {
    const { destination } = install();
    const entry = join(destination, "etc/logrotate.d/pushpin");
    // The user it names need not be here.
    writeFileSync(entry, readFileSync(entry, "utf8").replace(/^\s*su .*\n/m, ""));
    const read = run(["logrotate", "--debug", "--state", join(directory, "state"), entry]);
    expect(read.status).toBe(0);
    expect(read.output).not.toMatch(/^error/m);
  });
});

/** Writes what arrives at the socket of a service manager. */
const MANAGER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("listening", flush=True)
while True:
    print(s.recv(4096).decode().replace("\\n", " "), flush=True)
`;

describe("given a service manager that wants to know", () => {
  const commands = {
    pushpin: [join(ROOT, "runner/bin/pushpin.js"), "--config=pushpin.conf", "-m"],
    handler: [join(ROOT, "packages/handler/bin/pushpin-handler.js"), "--config=pushpin.conf"],
  };
  for (const [name, command] of Object.entries(commands))
    needs("systemd-notify")(`when ${name} is started, works and stops, then it says each`, async () => {
      const path = join(directory, "notify");
      const manager = follow("manager", ["python3", "-c", MANAGER, path]);
      await manager.said(/^listening$/m);
      const service = follow(name, [process.execPath, ...command], {
        NOTIFY_SOCKET: path,
        WATCHDOG_USEC: "1000000",
      });
      await manager.said(/READY=1/);
      if (name === "pushpin")
        expect((await fetch(`http://127.0.0.1:${ground.port}/`)).status).toBe(200);
      await manager.said(/WATCHDOG=1[^]*WATCHDOG=1/);
      expect(manager.output.match(/READY=1/g)).toEqual(["READY=1"]);
      service.child.kill("SIGTERM");
      await manager.said(/STOPPING=1/);
      expect(await service.ended()).toEqual({ code: 0, signal: null });
    });
});

describe("given sockets that systemd opened for single services", () => {
  const activated = (name: string, port: number, fdname: string) =>
    follow(name, [
      "systemd-socket-activate",
      `--listen=127.0.0.1:${port}`,
      `--fdname=${fdname}`,
      process.execPath,
      join(ROOT, `packages/${name}/bin/pushpin-${name}.js`),
      "--config=pushpin.conf",
    ]);

  needs("systemd-socket-activate")("when clients come, then they start what answers them", async () => {
    const [client = 0, control = 0] = await freePorts(2);
    for (const name of ["proxy", "httpclient"])
      follow(name, [process.execPath, join(ROOT, `packages/${name}/bin/pushpin-${name}.js`), "--config=pushpin.conf"]);
    const listening = [activated("connmgr", client, "http"), activated("handler", control, "control")];
    for (const one of listening) await one.said(/Listening/i);
    const answer = await fetch(`http://127.0.0.1:${client}/`);
    expect(await answer.text()).toBe("Hello from the Pushpin test handler!\n");
    await until("all to be ready", async () => {
      const response = await fetch(`http://127.0.0.1:${control}/readyz`);
      return response.status === 200;
    });
    await expect(fetch(`http://127.0.0.1:${ground.port}/`)).rejects.toThrow();
    expect(existsSync(join(ground.directory, "run"))).toBe(true);
  });
});
