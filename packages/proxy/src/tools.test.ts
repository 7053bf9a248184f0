import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const PROGRAM = new URL("../bin/pushpin-proxy-tools.js", import.meta.url).pathname;

describe("given a configuration and routes", () => {
  let directory: string;
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const run = (...args: string[]) => {
    const done = spawnSync(process.execPath, [PROGRAM, ...args], { encoding: "utf8" });
    return { code: done.status, out: done.stdout, err: done.stderr };
  };
  let config: string;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "pp-"));
    config = file("pushpin.conf", "[proxy]\nroutesfile=routes\nsig_key=changeme\n");
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test("when all is well, then check says how many routes there are, and ends with 0", () => {
    file("routes", "a test\n* localhost:80\n");
    expect(run("check", `--config=${config}`)).toEqual({
      code: 0,
      out: "2 routes, 0 errors, 0 warnings\n",
      err: "",
    });
  });

  test("when lines are bad, then check names file and line and what to do, and ends with 1", () => {
    file("routes", "a test\na test\ntab\ttest\n* localhost\n");
    const { code, out } = run("check", `--config=${config}`);
    expect(code).toBe(1);
    expect(out).toMatch(/error: .*routes:2 skipping duplicate condition\n {4}the first line counts/);
    expect(out).toMatch(/error: .*routes:3: must specify condition and at least one target\n/);
    expect(out).toMatch(/error: .*routes:4: target bad format\n {4}write: HOST:PORT/);
    expect(out).toContain("1 routes, 3 errors, 0 warnings");
  });

  test("when keys are misspelt or values bad, then check says where, and what was meant", () => {
    file("routes", "a test\n");
    const bad = file("bad.conf", "[proxy]\nrouts_file=x\ndebug=maybe\n[runer]\nx=1\n");
    const { code, out } = run("check", `--config=${bad}`);
    expect(code).toBe(1);
    expect(out).toMatch(/bad\.conf:2: unknown key proxy\/routs_file; did you mean routesfile\?/);
    expect(out).toMatch(/bad\.conf:3: .*expected true or false/);
    expect(out).toMatch(/bad\.conf:5: unknown section \[runer\]; did you mean runner\?/);
  });

  test("when a key has no effect, then check warns of it, and ends with 0", () => {
    file("routes", "a test\n");
    const old = file("old.conf", "[global]\n[runner]\nrundir=x\nzurl_bin=y\n[proxy]\nroutesfile=routes\n");
    const { code, out } = run("check", `--config=${old}`);
    expect(code).toBe(0);
    expect(out).toContain("warning: rundir in [runner] section is deprecated. put in [global]\n");
    expect(out).toMatch(/warning: .*old\.conf:4: runner\/zurl_bin has no effect: it is not used\n/);
    expect(out).toContain("1 routes, 0 errors, 2 warnings");
  });

  test("when there are older routes, then check says what a reload would change", () => {
    const old = file("old", "same test\ngone test\nother test\n");
    file("routes", "\nsame test\nother test,sub=x\nnew test\n");
    const { out } = run("check", `--config=${config}`, `--against=${old}`, "--json");
    expect(JSON.parse(out)).toMatchObject({
      routes: 3,
      changes: {
        added: [{ line: 4, id: "new,*,*,*" }],
        removed: [{ line: 2, id: "gone,*,*,*" }],
        changed: [{ line: 3, id: "other,*,*,*" }],
      },
    });
  });

  test("when a request is explained, then route, reasons, targets and headers are named", () => {
    file("routes", "h,ssl=yes test\nh,path_beg=/x,header=X-Y:z one:80 two:81,ssl\nh test\n");
    const { code, out } = run("explain", "GET", "http://h/x/1", `--config=${config}`, "-H", "Connection: X-S", "-H", "X-S: 1"); // prettier-ignore
    expect(code).toBe(0);
    expect(out).toContain("line 1 (h,*,no-ssl,*): it is for ssl=yes only\n");
    expect(out).toContain("line 2 (h,*,*,/x): matches, and is the best\n");
    expect(out).toContain("line 3 (h,*,*,*): matches, but another one is better\n");
    expect(out).toContain("signature: signed with the global key, issuer pushpin");
    expect(out).toContain("target 2: two:81 (TLS)\n  https://h/x/1\n");
    expect(out).toContain("X-Y: z\n");
    expect(out).not.toContain("X-S");
  });

  test("when no route is for a request, then that is said, and the status is 1", () => {
    file("routes", "h test\n");
    const { code, out } = run("explain", "GET", "http://other/", `--config=${config}`);
    expect([code, out]).toEqual([
      1,
      "GET http://other/\nhost: other\nno route is for this host, and there is no default one\nanswer: 502 Route not found\n",
    ]);
    expect(run("explain", "GET", "no url").code).toBe(2);
  });
});
