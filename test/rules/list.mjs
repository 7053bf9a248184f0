// Which rules of a specification are named by tests: `npm run rules -- handler`. A test names rules
// in its title, as "handler R17" or "proxy R37, R38: …" or "proxy R1-R4: …". Ends with 1 if a rule
// is named by none.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = new URL("../..", import.meta.url).pathname;
/** Highest number of each specification's rules. */
const LAST = { handler: 134, proxy: 159 };

const spec = process.argv[2] ?? "handler";
const last = LAST[spec];
if (last === undefined) {
  console.error(`no such specification: ${spec}; known are ${Object.keys(LAST).join(", ")}`);
  process.exit(2);
}

function* tests(directory) {
  for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.name === "node_modules" || entry.name === "dist") continue;
    if (entry.isDirectory()) yield* tests(path);
    else if (path.endsWith(".test.ts")) yield path;
  }
}

const covered = new Map();
const named = new RegExp(`\\b${spec} (R\\d+(?:-R?\\d+)?(?:, R\\d+(?:-R?\\d+)?)*)`, "g");
for (const directory of ["packages", "runner", "test"])
  for (const path of tests(directory)) {
    const text = readFileSync(join(root, path), "utf8");
    for (const [, list] of text.matchAll(named))
      for (const part of list.split(", ")) {
        const [from, to = from] = part.replaceAll("R", "").split("-").map(Number);
        for (let rule = from; rule <= to; rule += 1)
          covered.set(rule, (covered.get(rule) ?? new Set()).add(path));
      }
  }

const missing = [];
for (let rule = 1; rule <= last; rule += 1) {
  const paths = covered.get(rule);
  if (paths === undefined) missing.push(`R${rule}`);
  console.log(`R${rule}`.padEnd(6), paths === undefined ? "-" : [...paths].join(" "));
}
console.log(`${spec}: ${last - missing.length} of ${last} rules have a test`);
if (missing.length > 0) console.error(`without a test: ${missing.join(" ")}`);
process.exitCode = missing.length > 0 ? 1 : 0;
