// Writes the pages that follow from the code: `node docs/generate.mjs`; with `--check` it only says
// whether they are current. Every limit of the code is declared as
//   /** Limit: what it bounds and what happens beyond it. Unit: … */
//   export const NAME = value;
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = new URL("..", import.meta.url).pathname;

function* sources(directory) {
  for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.name === "node_modules" || entry.name === "dist") continue;
    if (entry.isDirectory()) yield* sources(path);
    else if (path.endsWith(".ts") && !path.endsWith(".test.ts")) yield path;
  }
}

/** Declared limits, and the names that uses of limits refer to. */
function readLimits() {
  const limits = [];
  const used = new Map();
  for (const directory of ["packages", "runner/src"])
    for (const path of sources(directory)) {
      const text = readFileSync(join(root, path), "utf8");
      const declared =
        /\/\*\*\s*(?:\*\s*)?Limit: ((?:(?!\*\/)[\s\S])*?)\s*\*\/\s*(?:export )?const ([A-Z][A-Z0-9_]*) = ([^;]+);/g;
      for (const [, about, name, value] of text.matchAll(declared))
        limits.push({
          name,
          value: value.replace(/\s+/g, " "),
          about: about.replace(/\s*\n\s*\* ?/g, " ").trim(),
          where: path.replace(/^packages\//, "").replace(/\/src\/.*/, ""),
        });
      for (const [, name] of text.matchAll(/\/\/ Limit: ([A-Z][A-Z0-9_]+)\b/g))
        used.set(name, path);
    }
  return { limits, used };
}

function limitsPage() {
  const { limits, used } = readLimits();
  const names = new Set(limits.map((one) => one.name));
  for (const [name, path] of used)
    if (!names.has(name)) throw new Error(`${path}: limit ${name} is declared nowhere`);
  limits.sort((one, other) =>
    one.where === other.where
      ? one.name.localeCompare(other.name)
      : one.where.localeCompare(other.where),
  );
  const rows = limits.map(
    ({ name, value, about, where }) => `| \`${where}\` | \`${name}\` | \`${value}\` | ${about} |`,
  );
  return `# Limits

Everything that could grow without end has a limit with a name. Those that an operator may want to
change are keys of the configuration (\`client_maxconn\`, \`client_buffer_size\`, \`max_open_requests\`,
\`message_hwm\`, \`connection_subscription_max\`, \`push_in_http_max_body_size\` …); the others are
constants of the code. This page is made by \`npm run docs\`.

| where | name | value | what it bounds |
| --- | --- | --- | --- |
${rows.join("\n")}
`;
}

const pages = new Map([["docs/limits.md", limitsPage()]]);
let stale = false;
for (const [path, text] of pages) {
  let current = "";
  try {
    current = readFileSync(join(root, path), "utf8");
  } catch {
    // Not there yet.
  }
  if (current === text) continue;
  if (process.argv.includes("--check")) {
    console.error(`${path} is not current: run npm run docs`);
    stale = true;
  } else writeFileSync(join(root, path), text);
}
process.exitCode = stale ? 1 : 0;
