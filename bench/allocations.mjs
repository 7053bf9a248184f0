// Compares what the hot paths allocate with `allocations.json`: bytes are the same on every machine,
// times are not. Ends with 1 if one has grown by more than a fifth. `--update` writes the file anew.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const FILE = `${here}allocations.json`;
const GROWTH_MAX = 1.2;
const ATTEMPTS = 4;

function measured(part) {
  const done = spawnSync(
    process.execPath,
    // Room enough that nothing is collected while it is counted.
    ["--expose-gc", "--single-threaded", "--min-semi-space-size=256", "--max-semi-space-size=256", `${here}${part}.bench.mjs`],
    { env: { ...process.env, BENCH: "json" }, encoding: "utf8" },
  );
  if (done.status !== 0) throw new Error(done.stderr);
  const lines = done.stdout.trim().split("\n");
  return Object.fromEntries(lines.map((one) => JSON.parse(one)).map(({ name, bytes }) => [name, bytes]));
}

const known = process.argv.includes("--update") ? undefined : JSON.parse(readFileSync(FILE, "utf8"));
const found = {};
const grown = new Set();
for (const part of ["codec", "http", "session"]) {
  // The compiler's mood makes single runs allocate more, never less.
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    for (const [name, bytes] of Object.entries(measured(part))) if (bytes !== undefined)
      found[name] = Math.min(found[name] ?? Infinity, bytes);
    if (known !== undefined && Object.entries(found).every(([name, bytes]) => !isGrown(name, bytes)))
      break;
  }
}
function isGrown(name, bytes) {
  return known[name] !== undefined && bytes > known[name] * GROWTH_MAX;
}
if (known === undefined) writeFileSync(FILE, `${JSON.stringify(found, null, 2)}\n`);
else
  for (const [name, bytes] of Object.entries(found)) {
    const before = known[name];
    if (isGrown(name, bytes)) grown.add(name);
    console.log(`${name.padEnd(56)}${bytes} B (${before ?? "new"})${grown.has(name) ? "  GROWN" : ""}`);
  }
// A benchmark that is gone, or that never ran without a collection, proves nothing.
const unmeasured = Object.keys(known ?? {}).filter((name) => found[name] === undefined);
if (unmeasured.length > 0) throw new Error(`not measured: ${unmeasured.join(", ")}`);
process.exitCode = grown.size > 0 ? 1 : 0;
