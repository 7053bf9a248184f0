// Which rules of a specification are named by tests: `npm run rules -- handler`, or only some of
// them, `npm run rules -- operations H W T`. A test names rules in its title, as "handler R17" or
// "proxy R37, R38: …" or "operations H1-H4: …". Ends with 1 if a rule is named by none.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = new URL("../..", import.meta.url).pathname;
/** Highest number of each specification's rules, by their letter. */
const LAST = {
  handler: { R: 134 },
  proxy: { R: 159 },
  operations: { R: 24, C: 17, H: 40, T: 6, W: 17, K: 18, P: 10, M: 3 },
};

const [spec = "handler", ...letters] = process.argv.slice(2);
const groups = LAST[spec];
if (groups === undefined) {
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
const named = new RegExp(
  `\\b${spec} ([A-Z]\\d+(?:-[A-Z]?\\d+)?(?:, [A-Z]\\d+(?:-[A-Z]?\\d+)?)*)`,
  "g",
);
// A table whose title begins with "operations %s" has the rules in its rows.
const inRows = /\[\s*"([A-Z]\d+(?:-[A-Z]?\d+)?)",/g;
for (const directory of ["packages", "runner", "test"])
  for (const path of tests(directory)) {
    const text = readFileSync(join(root, path), "utf8");
    const rows = text.includes(`"${spec} %s`) ? [...text.matchAll(inRows)] : [];
    for (const [, list] of [...text.matchAll(named), ...rows])
      for (const part of list.split(", ")) {
        const letter = part[0];
        const [from, to = from] = part.replaceAll(letter, "").split("-").map(Number);
        for (let rule = from; rule <= to; rule += 1) {
          const name = `${letter}${rule}`;
          covered.set(name, (covered.get(name) ?? new Set()).add(path));
        }
      }
  }

const missing = [];
let count = 0;
for (const [letter, last] of Object.entries(groups)) {
  if (letters.length > 0 && !letters.includes(letter)) continue;
  count += last;
  for (let rule = 1; rule <= last; rule += 1) {
    const name = `${letter}${rule}`;
    const paths = covered.get(name);
    if (paths === undefined) missing.push(name);
    console.log(name.padEnd(6), paths === undefined ? "-" : [...paths].join(" "));
  }
}
console.log(`${spec}: ${count - missing.length} of ${count} rules have a test`);
if (missing.length > 0) console.error(`without a test: ${missing.join(" ")}`);
process.exitCode = missing.length > 0 ? 1 : 0;
