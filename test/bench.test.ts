import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "@pushpin/testkit";
import { describe, expect, test } from "vitest";

describe("given lines of the benchmark harness", () => {
  const run = (target: string, scenario: string, metrics: object) =>
    JSON.stringify({ target, scenario, metrics });
  const tableOf = (lines: readonly string[]): string => {
    const file = join(mkdtempSync(join(tmpdir(), "bench-")), "out.jsonl");
    writeFileSync(file, lines.join("\n"));
    const done = spawnSync(process.execPath, [join(ROOT, "bench/table.mjs"), file], {
      encoding: "utf8",
      timeout: 25_000,
    });
    expect(done.status).toBe(0);
    return done.stdout;
  };

  test("when they are made a table, then medians are held against the goals", () => {
    const table = tableOf([
      ...[100, 300, 200].map((req_per_s) => run("pushpin", "proxy-plain", { req_per_s, p50_us: 9000 })),
      ...[900, 1100, 1000].map((req_per_s) => run("ours", "proxy-plain", { req_per_s, p50_us: 3000 })),
      run("pushpin", "accept-ws", { accept_per_s: 10, failed: 3 }),
      run("ours", "accept-ws", { accept_per_s: 5, failed: 0 }),
      run("pushpin", "fanout-ws-10k", { deliver_per_s: 0 }),
      run("ours", "fanout-ws-10k", { deliver_per_s: 7 }),
    ]);
    expect(table).toContain("| proxy-plain | requests/s | 200 (100–300) | 1,000 (900–1,100) | 5.00 | ≥ 5 | met |");
    expect(table).toContain("| 9 (9–9) | 3 (3–3) | 1/3.00 | ≤ 1/5 | **missed** |");
    expect(table).toContain("| accept-ws | accepts/s | 10 | 5 | 0.50 | ≥ 2.5 | **missed** |");
    expect(table).toContain("| fanout-ws-10k | deliveries/s | 0 | 7 |  | ≥ 10 | met |");
    expect(table).toContain("| accept-ws | failed | 3 | 0 |  | 0 | met |");
  });
});

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
