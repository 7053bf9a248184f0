import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@pushpin/testkit";
import { describe, expect, test } from "vitest";

describe("given the micro-benchmarks", () => {
  const directory = join(ROOT, "bench");
  const files = readdirSync(directory).filter((one) => one.endsWith(".bench.mjs"));

  test.each(files)("when each function of %s runs once, then it still works", (file) => {
    const done = spawnSync(process.execPath, [join(directory, file)], {
      env: { ...process.env, BENCH: "once" },
      encoding: "utf8",
      timeout: 25_000,
    });
    expect([done.status, done.stderr]).toEqual([0, ""]);
  });
});
