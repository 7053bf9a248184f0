import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Installation, makeTestDirectory, ROOT } from "@pushpin/testkit";
import { afterEach, expect, test } from "vitest";

const directories: string[] = [];
const running: Installation[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
  for (const one of directories.splice(0)) rmSync(one, { recursive: true, force: true });
});

/** What winston brings; it is loaded a second after the first line, which on a slow machine is before all is ready. */
function packagesOfLog(preload: string): readonly string[] {
  const directory = makeTestDirectory();
  directories.push(directory);
  const path = createRequire(join(ROOT, "packages/log/package.json")).resolve("winston");
  const env = { ...process.env, LOADED_MODULES: directory };
  const ended = spawnSync(process.execPath, [`--import=${preload}`, path], { env, encoding: "utf8" });
  expect(ended.stderr).toBe("");
  const names = readFileSync(join(directory, "winston.js"), "utf8").trim().split("\n");
  expect(names).toContain("logform");
  return names;
}

const ZEROMQ = ["cmake-ts", "zeromq"];

test("given an ordinary installation, when it starts, then each process loads only the packages it needs", async () => {
  const directory = makeTestDirectory();
  directories.push(directory);
  const preload = join(ROOT, "test/system/loaded-modules.mjs");
  running.push(
    await Installation.start({
      routes: ["* test"],
      env: { NODE_OPTIONS: `--import=${preload}`, LOADED_MODULES: directory },
    }),
  );
  const late = packagesOfLog(preload);
  const loaded = Object.fromEntries(
    readdirSync(directory)
      .filter((one) => one.endsWith(".js"))
      .map((one) => [
        one,
        [...new Set(readFileSync(join(directory, one), "utf8").trim().split("\n"))]
          .filter((name) => name !== "winston" && !late.includes(name))
          .sort(),
      ]),
  );
  // A package more in one of these costs every start and every restart: load it where it is used.
  expect({ "pushpin.js": [], ...loaded }).toEqual({
    "pushpin-connmgr.js": ZEROMQ,
    "pushpin-handler.js": [...ZEROMQ, "rfc6902"].sort(),
    "pushpin-httpclient.js": [...ZEROMQ, "undici"].sort(),
    "pushpin-proxy.js": [...ZEROMQ, "rfc6902"].sort(),
    "pushpin.js": [],
  });
});
