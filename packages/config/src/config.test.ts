import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "./config.ts";
import { endpoints } from "./endpoints.ts";
import { parseIni, parseValue, renderValue } from "./ini.ts";
import { globalSettings, runnerSettings } from "./settings/global.ts";
import { handlerSettings } from "./settings/handler.ts";
import { nearestName } from "./nearest-name.ts";
import { proxySettings } from "./settings/proxy.ts";
import { boolean, integer, list, octal, text } from "./settings.ts";

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

describe("given a whole file in the dialect", () => {
  const valueOf = (text: string, section = "s", key = "k") =>
    parseIni(text).get(section)?.get(key)?.items;

  test.each([
    ["blanks in the name of a section", "[ s ]\nk=v\n", ["v"]],
    ["a byte order mark and CRLF", "\uFEFF[s]\r\nk=v\r\nother=w\r\n", ["v"]],
    ["letters beyond ASCII", "[s]\nk=grüße,日本\n", ["grüße", "日本"]],
    ["a section twice", "[s]\nk=v\n[t]\nk=w\n[s]\nother=x\n", ["v"]],
    ["a key twice", "[s]\nk=v\nk=w\n", ["w"]],
    ["a semicolon in quotes", '[s]\nk="a;b" ; text\n', ["a;b"]],
    ["no line break at the end", "[s]\nk=v", ["v"]],
    ["an equals sign in the value", "[s]\nk=a=b\n", ["a=b"]],
    ["an escape nobody knows", "[s]\nk=a\\qb\n", ["aqb"]],
  ])("operations 3.2: when it has %s, then the value is the expected one", (_, text, items) => {
    expect(valueOf(text)).toEqual(items);
  });

  test("operations 3.2: when keys stand before any section or in General, then they are in none", () => {
    const file = parseIni("s/k=v\nk=v\n[General]\ns/k=v\nk=w\n[s]\nother=x\n");
    expect([...file.keys()]).toEqual(["s"]);
    expect(file.get("s")?.get("k")).toBeUndefined();
  });

  test("operations C9: when it begins with a byte order mark and has CRLF, then it reads like any other", () => {
    expect(parseIni("\uFEFF[s]\r\nk=a, b\r\n[t]\r\nk=\r\n")).toEqual(
      parseIni("[s]\nk=a, b\n[t]\nk=\n"),
    );
  });

  test("operations C8: when the case of a section or key differs, then it is another one", () => {
    expect(valueOf("[S]\nk=v\n")).toBeUndefined();
    expect(valueOf("[s]\nK=v\n")).toBeUndefined();
  });

  test("when lines are joined, then the line of the first is remembered", () => {
    const file = parseIni("[s]\n\nk=a,\\\nb\nother=c\n");
    expect(file.get("s")?.get("k")).toEqual({ items: ["a", "b"], line: 3 });
    expect(file.get("s")?.get("other")?.line).toBe(5);
  });

  test("when it is any text at all, then it is read without an error", () => {
    const pieces = ["[", "]", "=", "\\", '"', ";", ",", "\n", "\\x", "%4", "a", "\0", "\uD800"];
    for (let seed = 1; seed < 2000; seed += 1) {
      let text = "[s]\n";
      for (let left = seed * 7919; left > 0; left = Math.floor(left / pieces.length))
        text += pieces[left % pieces.length];
      expect(() => parseIni(text), text).not.toThrow();
    }
  });
});

describe("given values to be written", () => {
  test("when they are read again, then they are the same", () => {
    const texts = fc.array(fc.string({ unit: fc.constantFrom(...'ab ,;#"\'\\\t\n\r\0é=[x1') }), {
      minLength: 1,
    });
    fc.assert(
      fc.property(texts, (items) => {
        const file = parseIni(`[s]\nk=${renderValue(items)}  ; a comment\n`);
        expect(file.get("s")?.get("k")?.items).toEqual(items);
        expect(parseValue(renderValue(items))).toEqual(items);
      }),
    );
  });
});

describe("given typed values", () => {
  const integerOf = (text: string) => integer({ default: 7, about: "" }).parse([text]);

  test.each([
    ["010", 10],
    [" 5 ", 5],
    ["-1", -1],
    ["+3", 3],
  ])("operations 3.3: when an integer is %j, then it is %i", (text, value) => {
    expect(integerOf(text)).toEqual({ ok: true, value });
  });

  test.each(["0x10", "4k", "1e3", "4.0", "1,2", "", "--1", "9".repeat(20)])(
    "operations 3.3: when an integer is %j, then it is refused",
    (text) => {
      expect(integerOf(text)).toMatchObject({ ok: false });
    },
  );

  test.each([
    ["TRUE", true],
    ["Yes", true],
    ["on", true],
    ["1", true],
    ["", false],
    ["FALSE", false],
    ["no", false],
    ["off", false],
    ["0", false],
  ])("operations C1, C2: when a boolean is %j, then it is %j", (text, value) => {
    expect(boolean({ default: !value, about: "" }).parse([text])).toEqual({ ok: true, value });
  });

  test("when a list has empty items, then they are left out", () => {
    expect(list({ about: "" }).parse(["a", "", "b"])).toEqual({ ok: true, value: ["a", "b"] });
  });

  test.each([
    ["http_port=1, 2", ["1", "2"]],
    ['http_port="1,2"', ["1,2"]],
  ])("operations C5, C6: when ports are written as %j, then there are as many as unquoted", (line, ports) => {
    const items = parseIni(`[runner]\n${line}\n`).get("runner")?.get("http_port")?.items ?? [];
    expect(runnerSettings.settings.http_port.parse(items)).toEqual({ ok: true, value: ports });
  });

  test("when a text has commas, then they belong to it", () => {
    expect(text({ default: "", about: "" }).parse(["a", "b"])).toEqual({ ok: true, value: "a,b" });
  });

  test("when a file mode is given, then it is octal", () => {
    expect(octal({ about: "" }).parse(["660"])).toEqual({ ok: true, value: 0o660 });
    expect(octal({ about: "" }).parse(["-1"])).toEqual({ ok: true, value: undefined });
  });
});

describe("given names that are spelt wrong", () => {
  const known = ["message_rate", "message_wait", "debug"];

  test.each([
    ["mesage_rate", "message_rate"],
    ["message_weit", "message_wait"],
    ["DEBUG", "debug"],
    ["entirely_different", undefined],
    ["", undefined],
  ])("when it is %j, then the nearest is %s", (name, nearest) => {
    expect(nearestName(name, known)).toBe(nearest);
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

  test("operations C7: when sections and keys repeat, then sections merge and the last key wins", () => {
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

  test("operations C3: when a comment stands behind a number, then the number counts", () => {
    const config = load("[runner]\nclient_buffer_size=4096 ; x\n");
    expect(config.read(runnerSettings).client_buffer_size).toBe(4096);
  });

  test("operations C12: when it names variables, then they are expanded in every value", () => {
    const config = load(
      "[global]\nrundir=/r\nipc_prefix=x-\n[handler]\nstats_spec=ipc://{rundir}/{ipc_prefix}s,ipc://{nonsense}\n",
    );
    expect(config.read(handlerSettings).stats_spec).toEqual(["ipc:///r/x-s", "ipc://{nonsense}"]);
    const other = load("[handler]\nstats_spec=ipc://{ipc_prefix}s\n", { ipcPrefix: "y-" });
    expect(other.read(handlerSettings).stats_spec).toEqual(["ipc://y-s"]);
  });

  test("operations C13: when there is a port offset, then it is added to every tcp port, and to no other", () => {
    const text = "[handler]\npush_in_spec=tcp://127.0.0.1:5560\nstats_spec=ipc://x:5560\n";
    const settings = load(text, { portOffset: 10 }).read(handlerSettings);
    expect(settings.push_in_spec).toEqual(["tcp://127.0.0.1:5570"]);
    expect(settings.stats_spec).toEqual(["ipc://x:5560"]);
  });

  test("operations C10, C11: when it includes another file, then its own keys win, even empty ones", () => {
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

  test("when the proxy's endpoints are not said, then the handler's count", () => {
    const config = load(
      "[handler]\nproxy_accept_specs=ipc://a\nproxy_inspect_spec=ipc://b\nproxy_stats_specs=ipc://c\n",
    );
    const { accept, inspect, proxyStats } = endpoints(config);
    expect([accept, inspect, proxyStats]).toEqual([["ipc://a"], ["ipc://b"], ["ipc://c"]]);
  });

  test("when old names of the connection manager are given, then they count beside the new", () => {
    const config = load("[proxy]\nconnmgr_in_specs=ipc://n\ncondure_in_specs=ipc://o\n");
    expect(endpoints(config).connmgrIn).toEqual(["ipc://n", "ipc://o"]);
  });

  test("when an endpoint is given twice, by whatever name, then it counts once", () => {
    const config = load("[proxy]\nconnmgr_in_specs=ipc://n\ncondure_in_specs=ipc://o,ipc://n\n");
    expect(endpoints(config).connmgrIn).toEqual(["ipc://n", "ipc://o"]);
  });

  test.each([
    ["[proxy]\nm2a_in_specs=ipc://m\n", ["ipc://m"]],
    ["[runner]\nservices=mongrel2\n[proxy]\nm2a_in_specs=ipc://m\nconnmgr_in_specs=ipc://n\n", ["ipc://m"]],
    ["[proxy]\nm2a_in_specs=ipc://m\nconnmgr_in_specs=ipc://n\n", ["ipc://n"]],
  ])("operations 3.7: when it is %j, then requests come from %j", (written, specs) => {
    expect(endpoints(load(written)).connmgrIn).toEqual(specs);
  });

  test("operations 3.4: when an included file includes another, then that is not read", () => {
    writeFileSync(join(directory, "third.conf"), "[proxy]\ncdn_loop=third\n");
    writeFileSync(join(directory, "second.conf"), "[global]\ninclude=third.conf\n");
    expect(load("[global]\ninclude=second.conf\n").read(proxySettings).cdn_loop).toBe("");
  });

  test("when a bad value stands in an included file, then that file is named", () => {
    writeFileSync(join(directory, "bad.conf"), "[proxy]\n\ndebug=maybe\n");
    const config = load("[global]\ninclude=bad.conf\n");
    expect(() => config.read(proxySettings)).toThrow(/bad\.conf:3: proxy\/debug: expected/);
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
