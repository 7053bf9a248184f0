import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findConfigFile } from "./plan.ts";

const PROGRAM = fileURLToPath(new URL("../bin/pushpin.js", import.meta.url));

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "pp-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function run(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const done = spawnSync(process.execPath, [PROGRAM, ...args], {
    cwd: directory,
    encoding: "utf8",
    timeout: 20_000,
    env: { ...process.env, ...env },
  });
  return { code: done.status, out: done.stdout, err: done.stderr };
}

/** Starts with this configuration, which must not work. */
function start(config: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
  writeFileSync(join(directory, "pushpin.conf"), config);
  return run(["--config=pushpin.conf", ...args], env);
}

describe("given a bad command line", () => {
  test.each([
    ["R2", ["--bogus"], "Unknown option 'bogus'."],
    ["2.2", ["--config"], "Missing value after '--config'."],
    ["R3", ["--loglevel=,2"], "log level component cannot be empty"],
    ["R4", ["--loglevel=:2"], "log level component name cannot be empty"],
    ["2.2", ["--loglevel=abc"], "log level must be greater than or equal to 0"],
    ["2.2", ["--loglevel=condure:-1"], "log level for service condure must be greater than or equal to 0"], // prettier-ignore
    ["R5", ["--port=0"], "port must be greater than or equal to 1"],
    ["2.2", ["--port=abc"], "port must be greater than or equal to 1"],
    ["R6", ["--id=-1"], "id must be greater than or equal to 0"],
    ["2.2", ["--id=abc"], "id must be greater than or equal to 0"],
  ])("operations %s: when it is %j, then standard error says so with the help, and it ends with 1", (_, args, text) => {
    const { code, out, err } = run(args);
    expect(err.split("\n").slice(0, 2)).toEqual([`error: ${text}`, ""]);
    expect(err).toContain("--merge-output");
    expect([code, out]).toEqual([1, ""]);
  });
});

describe("given questions about the program", () => {
  test.each([["-version", "extra"], ["-v"], ["--version", "--bogus"]])(
    "operations R7: when asked for its version with %s %s, then it answers and ends with 0",
    (...args) => {
      const { code, out } = run(args.filter(Boolean));
      expect(out).toMatch(/^pushpin \d+\.\d+\.\d+\n$/);
      expect(code).toBe(0);
    },
  );

  test.each(["-h", "--help", "--help-all"])("when asked %s, then the help comes and it ends with 0", (option) => {
    const { code, out } = run([option]);
    expect(out).toContain("--config");
    expect(code).toBe(0);
  });
});

describe("given something to start that cannot work", () => {
  const LINE = /^\[(ERR|WARN|INFO)\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} /gm;
  const base = "[global]\ninclude={libdir}/internal.conf\nrundir=run\n[runner]\n";

  test("operations R1: when there is no such configuration file, then that is said", () => {
    const { code, out } = run(["--config=/none"]);
    expect(out.replace(LINE, "$1 ")).toBe("ERR no configuration file found. Tried: /none\n");
    expect(code).toBe(1);
  });

  test("operations 3.1: when none is given, then the first that exists is taken, else all are named", () => {
    const inPackage = "/etc/pushpin/pushpin.conf";
    expect(findConfigFile(undefined, (path) => path === inPackage)).toBe(inPackage);
    expect(findConfigFile(undefined, (path) => path === inPackage || path === "pushpin.conf")).toBe(
      resolve("pushpin.conf"),
    );
    expect(() => findConfigFile(undefined, () => false)).toThrow(
      "Tried: config/pushpin.conf pushpin.conf examples/config/pushpin.conf /etc/pushpin/pushpin.conf",
    );
  });

  test("operations 2.2: when its log file cannot be opened, then that is said", () => {
    const { code, out } = start(base, ["--logfile=/nonexistent/x"]);
    expect(out.replace(LINE, "$1 ")).toBe("ERR failed to open log file: /nonexistent/x\n");
    expect(code).toBe(1);
  });

  test.each([
    ["R16", `${base}services=connmgr,mongrel2\n`, "cannot enable the connmgr service at the same time as mongrel2 or m2adapter"], // prettier-ignore
    ["R17", `${base}services=connmgr\nhttp_port=\n`, "no server ports configured"],
    ["2.10", `${base}services=mongrel2\nlocal_ports=/s\n`, "Cannot use local_ports option with mongrel2"],
    ["R18", `${base}services=connmgr\nhttps_ports=abc\n`, "invalid https port: abc"],
    ["2.4", `${base}services=connmgr\nhttp_port=1.2.3.4:80:90\n`, "invalid http port: 1.2.3.4:80:90"],
    ["C6", `${base}services=connmgr\nhttp_port="1,2"\n`, "invalid http port: 1,2"],
    ["2.4", `${base}services=connmgr\nlocal_ports=/s?mode=9\n`, "invalid mode: 9"],
    ["R20", "[global]\nrundir=/proc/version/x\n[runner]\nhttp_port=8000\n", "failed to create directory: /proc/version/x"], // prettier-ignore
    ["R24", `${base}services=foo\n`, "unknown service: foo (known: connmgr, mongrel2, m2adapter, httpclient, proxy, handler)"],
    ["R24", `${base}services=\nhttp_port=8000\n`, "no services configured"],
  ])("operations %s: when the configuration is %j, then its fault is the only line", (_, config, text) => {
    const { code, out } = start(config);
    expect(out.replace(LINE, "$1 ")).toBe(`ERR ${text}\n`);
    expect(code).toBe(1);
  });

  test("operations R19: when a program is missing, then its path is said, and all ends with 1", () => {
    const config = `${base}services=mongrel2\nhttp_port=8000\nmongrel2_bin=/nonexistent/mongrel2\n`;
    const { code, out } = start(config, ["-m"]);
    expect(out.replace(LINE, "$1 ")).toContain("ERR m2 http:8000: Error running: /nonexistent/mongrel2\n");
    expect(code).toBe(1);
  });

  test.each([
    ["[runner]\nclient_maxcon=5\n", "2: unknown key runner/client_maxcon; did you mean client_maxconn?"],
    ["[runner]\n\nmessage_rate=5\n", "3: unknown key runner/message_rate; it belongs to [handler]"],
    ["[runer]\nservices=proxy\n", "2: unknown section [runer]; did you mean runner?"],
    ["[proxy]\nquite_another=1\n", "2: unknown key proxy/quite_another"],
    ["[runner]\nclient_buffer_size=4096 # x\n", "2: runner/client_buffer_size: expected a whole number"],
    ["[proxy]\ndebug=perhaps\n", "2: proxy/debug: expected true or false"],
    ["[runner]\nworkers=none\n", "2: runner/workers: expected auto or a number from 1 to 64"],
  ])("operations C4: when the configuration is %j, then file, line and what is allowed are named", (config, text) => {
    const { code, out } = start(config);
    expect(out).toContain(`[ERR] `);
    expect(out).toContain(`${join(directory, "pushpin.conf")}:${text}\n`);
    expect(code).toBe(1);
  });

  test("when a variable of the environment names no key, then the nearest one is named", () => {
    const { code, out } = start(base, [], { PUSHPIN_HANDLER_MESSAGE_RAT: "1" });
    expect(out).toContain(
      "unknown variable PUSHPIN_HANDLER_MESSAGE_RAT; did you mean PUSHPIN_HANDLER_MESSAGE_RATE?",
    );
    expect(code).toBe(1);
  });

  test("when a variable of the environment has a bad value, then the variable is named", () => {
    const { code, out } = start(base, [], { PUSHPIN_RUNNER_CLIENT_MAXCONN: "many" });
    expect(out).toContain(
      "environment PUSHPIN_RUNNER_CLIENT_MAXCONN: runner/client_maxconn: expected a whole number",
    );
    expect(code).toBe(1);
  });
});

describe("given settings from several places", () => {
  const values = (args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
    const { code, out } = run(["config", "--config=pushpin.conf", "--json", ...args], env);
    expect(code).toBe(0);
    return JSON.parse(out) as { key: string; items: string[]; source: string }[];
  };

  test("when they are asked for, then each value in force comes with its place", () => {
    writeFileSync(join(directory, "more.conf"), "[handler]\nmessage_wait=7\nmessage_hwm=3\n");
    const file = join(directory, "pushpin.conf");
    writeFileSync(file, "[global]\ninclude=more.conf\n[handler]\nmessage_wait=8\n");
    const keys = ["message_wait", "message_hwm", "message_rate", "id_cache_ttl", "http_port"];
    const shown = values(keys, {
      PUSHPIN_HANDLER_MESSAGE_RATE: "100",
      PUSHPIN_RUNNER_HTTP_PORT: "1, 2",
    });
    expect(Object.fromEntries(shown.map(({ key, items, source }) => [key, [items, source]]))).toEqual({
      http_port: [["1", "2"], "environment PUSHPIN_RUNNER_HTTP_PORT"],
      message_wait: [["8"], `${file}:4`],
      message_hwm: [["3"], `${join(directory, "more.conf")}:3`],
      message_rate: [["100"], "environment PUSHPIN_HANDLER_MESSAGE_RATE"],
      id_cache_ttl: [["0"], "default"],
    });
  });

  test("when the environment names rundir and prefix, then variables in values follow", () => {
    writeFileSync(
      join(directory, "pushpin.conf"),
      "[global]\nrundir=a\n[handler]\nstats_spec=ipc://{rundir}/{ipc_prefix}s\n",
    );
    const env = { PUSHPIN_GLOBAL_RUNDIR: "/r", PUSHPIN_GLOBAL_IPC_PREFIX: "x-" };
    expect(values(["handler/stats_spec"], env)[0]?.items).toEqual(["ipc:///r/x-s"]);
  });

  test("when the output is a configuration file, then it says the same", () => {
    const file = join(directory, "pushpin.conf");
    writeFileSync(
      file,
      '[global]\ninclude=internal.conf\nrundir=/r\n[runner]\nhttp_port=1, 2\nlogdir=" a;b, c"\n' +
        '[proxy]\nsig_key="x\\"y\\\\z # no comment"\n[handler]\nipc_file_mode=660\n',
    );
    const { code, out } = run(["config", "--config=pushpin.conf", "--all", "--secrets"]);
    expect(code).toBe(0);
    const before = values(["--all", "--secrets"]);
    writeFileSync(file, out.replace(/^include=.*$/m, ""));
    const after = values(["--all", "--secrets"]);
    const plain = (all: typeof before) =>
      all.filter(({ key }) => key !== "include").map(({ key, items }) => [key, items.join(",")]);
    expect(plain(after)).toEqual(plain(before));
  });

  test("when keys of signatures are shown, then only whoever asks for secrets sees them", () => {
    writeFileSync(join(directory, "pushpin.conf"), "[proxy]\nsig_key=hush\n");
    expect(values(["sig_key"])[0]?.items).toEqual(["(not shown)"]);
    expect(values(["sig_key", "--secrets"])[0]?.items).toEqual(["hush"]);
  });
});
