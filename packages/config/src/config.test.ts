import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "./config.ts";
import { endpoints } from "./endpoints.ts";
import { parseIni } from "./ini.ts";
import { globalSettings, runnerSettings } from "./settings/global.ts";
import { handlerSettings } from "./settings/handler.ts";
import { proxySettings } from "./settings/proxy.ts";

describe("given one line of a configuration file", () => {
  const itemsOf = (line: string) => parseIni(`[s]\n${line}\n`).get("s")?.get("k")?.items;

  test.each([
    ["k = v ", ["v"]],
    ["  k=v", ["v"]],
    ["k=v ; text", ["v"]],
    ["k=v;text", ["v"]],
    ["k=v # text", ["v # text"]],
    ["k=a,b", ["a", "b"]],
    ["k=a , b", ["a", "b"]],
    ['k="a,b"', ["a,b"]],
    ['k=1, "2"', ["1", "2"]],
    ['k=x"a b"c', ["xa bc"]],
    ["k=a\\\nb", ["ab"]],
    ["k=\\t\\n\\\\\\\"", ['\t\n\\"']],
    ["k=\\x41", ["A"]],
    ["k=\\101", ["A"]],
    ["k=1\\,2", ["12"]],
    ["k=", [""]],
    ["%6b=v", ["v"]],
  ])("operations 3.2: when it is %j, then its value is %j", (line, items) => {
    expect(itemsOf(line)).toEqual(items);
  });

  test.each(["# k=v", "; k=v", "k", "K=v", "[s]"])("when it is %j, then there is no such key", (line) => {
    expect(itemsOf(line)).toBeUndefined();
  });
});

describe("given a configuration file", () => {
  let directory: string;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "pp-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  function load(text: string, options: { ipcPrefix?: string; portOffset?: number } = {}) {
    const file = join(directory, "pushpin.conf");
    writeFileSync(file, text);
    return loadConfig({ file, ...options });
  }

  test("when keys are absent, then their defaults are read", () => {
    const config = load("[runner]\n");
    expect(config.read(runnerSettings).client_buffer_size).toBe(8192);
    expect(config.read(handlerSettings).message_wait).toBe(5000);
    expect(config.read(proxySettings).debug).toBe(false);
    expect(config.read(globalSettings).stats_connection_send).toBe(true);
  });

  test("when sections and keys repeat, then sections merge and the last key wins", () => {
    const config = load("[proxy]\ndebug=true\n[handler]\n[proxy]\nlog_from=on\ndebug=no\n");
    expect(config.read(proxySettings)).toMatchObject({ debug: false, log_from: true });
  });

  test.each([
    ["[proxy]\ndebug=maybe\n", /proxy\/debug: expected true or false/, 2],
    ["\n[runner]\nclient_maxconn=many\n", /client_maxconn: expected a whole number/, 3],
    ["[runner]\nclient_buffer_size=10\n", /client_buffer_size: expected a number from 1024/, 2],
    ["[proxy]\nipc_file_mode=9\n", /ipc_file_mode: expected an octal/, 2],
    ["[handler]\nstats_format=xml\n", /stats_format: expected one of tnetstring, json/, 2],
  ])("when a value of %j is bad, then file, line and what is allowed are named", (text, words, line) => {
    const config = load(text);
    const read = () => {
      config.read(runnerSettings);
      config.read(proxySettings);
      config.read(handlerSettings);
    };
    expect(read).toThrow(words);
    expect(read).toThrow(expect.objectContaining({ line }) as Error);
  });

  test("when it names variables, then they are expanded in every value", () => {
    const config = load(
      "[global]\nrundir=/r\nipc_prefix=x-\n[handler]\nstats_spec=ipc://{rundir}/{ipc_prefix}s,ipc://{nonsense}\n",
    );
    expect(config.read(handlerSettings).stats_spec).toEqual(["ipc:///r/x-s", "ipc://{nonsense}"]);
    const other = load("[handler]\nstats_spec=ipc://{ipc_prefix}s\n", { ipcPrefix: "y-" });
    expect(other.read(handlerSettings).stats_spec).toEqual(["ipc://y-s"]);
  });

  test("when there is a port offset, then it is added to every tcp port, and to no other", () => {
    const text = "[handler]\npush_in_spec=tcp://127.0.0.1:5560\nstats_spec=ipc://x:5560\n";
    const settings = load(text, { portOffset: 10 }).read(handlerSettings);
    expect(settings.push_in_spec).toEqual(["tcp://127.0.0.1:5570"]);
    expect(settings.stats_spec).toEqual(["ipc://x:5560"]);
  });

  test("when it includes another file, then its own keys win, even empty ones", () => {
    writeFileSync(join(directory, "more.conf"), "[proxy]\nsig_iss=other\ncdn_loop=token\n");
    const config = load("[global]\ninclude=more.conf\n[proxy]\nsig_iss=\n");
    expect(config.read(proxySettings)).toMatchObject({ sig_iss: "", cdn_loop: "token" });
    expect(() => load("[global]\ninclude=missing.conf\n")).not.toThrow();
  });

  test("when it includes internal.conf, then every process knows where the others are", () => {
    const config = load(
      "[global]\ninclude=internal.conf\nrundir=/r\n[runner]\nservices=connmgr,httpclient,proxy,handler\n",
    );
    const all = endpoints(config);
    for (const [name, specs] of Object.entries(all)) expect([name, specs.length]).toEqual([name, 1]);
    expect(all.accept).toEqual(["ipc:///r/pushpin-accept"]);
  });

  test("when services name zurl, then the HTTP client is where zurl is", () => {
    const config = load(
      "[global]\ninclude=internal.conf\nrundir=/r\n[runner]\nservices=connmgr,proxy,handler,zurl\n",
    );
    expect(endpoints(config).clientOut).toEqual(["ipc:///r/pushpin-zurl-in"]);
  });

  test("when keys are unknown, then each is known with its place", () => {
    const config = load("[runner]\nservice=proxy\n[PROXY]\ndebug=true\n");
    expect(config.unknownKeys.map(({ line, section, key }) => [line, section, key])).toEqual([
      [2, "runner", "service"],
      [4, "PROXY", "debug"],
    ]);
  });

  test("when the file is not there, then that is said", () => {
    expect(() => loadConfig({ file: join(directory, "none.conf") })).toThrow(/failed to open .*none/);
  });
});
