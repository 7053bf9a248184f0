// Runs the conformance suite beside the project's root and holds it against the list of scenarios
// that do not pass yet. The list may only get shorter: whatever is not in it has to pass.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SUITE = "../shared/conformance/run.mjs";
/** Some scenarios wait a fifth of a second and no longer: up to so many that fail are run once more, each by itself. More are no accident. */
const AGAIN_MAX = 5;

if (!existsSync(SUITE)) {
  console.log("conformance: the suite is not here, skipped");
  process.exit(process.env.CI === "true" ? 1 : 0);
}

/** Whether each scenario passed, by its id. */
function run(...args) {
  const file = join(mkdtempSync(join(tmpdir(), "conformance-")), "results.json");
  const started = spawnSync(process.execPath, [SUITE, "--target", "project", "--json", file, ...args], {
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
  return new Map(results.map((one) => [one.id, one.passed ?? one.ok ?? one.status === "passed"]));
}

const isPassed = run("--lanes", "8");
const ids = [...isPassed.keys()];
const pending = readFileSync("test/conformance-pending.txt", "utf8").split("\n").filter((one) => one !== "" && !one.startsWith("#"));
const unexpected = () => ids.filter((id) => !isPassed.get(id) && !pending.includes(id));
if (unexpected().length <= AGAIN_MAX)
  for (const id of unexpected()) {
    console.log(`conformance: once more: ${id}`);
    isPassed.set(id, run("--lanes", "1", "--grep", `^${id}$`).get(id) === true);
  }
const done = pending.filter((id) => isPassed.get(id));
if (done.length > 0) console.log(`conformance: pass now, take them off the list: ${done.join(" ")}`);
const failed = unexpected();
for (const id of failed) console.error(`conformance: failed: ${id}`);
const passes = ids.filter((id) => isPassed.get(id)).length;
console.log(`conformance: ${passes} pass, ${ids.length - passes - failed.length} pending`);
console.log(`${passes} passed, ${failed.length} failed`);
process.exit(failed.length > 0 ? 1 : 0);
