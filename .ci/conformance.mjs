// Runs the conformance suite beside the project's root and holds it against the list of scenarios
// that do not pass yet. The list may only get shorter: whatever is not in it has to pass.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const suite = "../shared/conformance/run.mjs";
if (!existsSync(suite)) {
  console.log("conformance: the suite is not here, skipped");
  process.exit(process.env.CI === "true" ? 1 : 0);
}
const file = join(mkdtempSync(join(tmpdir(), "conformance-")), "results.json");
const started = spawnSync(process.execPath, [suite, "--target", "project", "--lanes", "8", "--json", file], {
  stdio: ["ignore", "pipe", "inherit"],
  encoding: "utf8",
  timeout: 20 * 60_000,
});
if (!existsSync(file)) {
  console.error(started.stdout);
  console.error("conformance: no results");
  process.exit(1);
}
const parsed = JSON.parse(readFileSync(file, "utf8"));
const results = Array.isArray(parsed) ? parsed : (parsed.results ?? parsed.scenarios);
const passed = new Set(results.filter((one) => one.passed ?? one.ok ?? one.status === "passed").map((one) => one.id));
const pending = readFileSync("test/conformance-pending.txt", "utf8").split("\n").filter((one) => one !== "" && !one.startsWith("#"));
const failed = results.map((one) => one.id).filter((id) => !passed.has(id));
const unexpected = failed.filter((id) => !pending.includes(id));
const done = pending.filter((id) => passed.has(id));
if (done.length > 0) console.log(`conformance: pass now, take them off the list: ${done.join(" ")}`);
for (const id of unexpected) console.error(`conformance: failed: ${id}`);
console.log(`conformance: ${passed.size} pass, ${failed.length - unexpected.length} pending`);
console.log(`${passed.size} passed, ${unexpected.length} failed`);
process.exit(unexpected.length > 0 ? 1 : 0);
