import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { OUTCOMES } from "./limit-outcomes.mjs";

// Every limit of the code is declared as
//   /** Limit: what it bounds; what happens beyond it. Unit: bytes. */
//   export const NAME = value;
// and stands where it bites as `// Limit: NAME`.
const DECLARED =
  /\/\*\*\s*(?:\*\s*)?Limit: ((?:(?!\*\/)[\s\S])*?)\s*\*\/\s*(?:export )?const ([A-Z][A-Z0-9_]*) = ([^;]+);/g;
const USED = /\/\/ Limit: ([A-Z][A-Z0-9_]+)\b/g;

function* sources(root, directory) {
  for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.name === "node_modules" || entry.name === "dist") continue;
    if (entry.isDirectory()) yield* sources(root, path);
    else if (path.endsWith(".ts") && !path.endsWith(".test.ts")) yield path;
  }
}

/** Declared limits, and the names that their uses refer to. */
function readLimits(root) {
  const limits = [];
  const used = new Map();
  for (const directory of ["packages", "runner/src"])
    for (const path of sources(root, directory)) {
      const text = readFileSync(join(root, path), "utf8");
      const owner = path.replace(/^packages\//, "").replace(/\/src\/.*/, "");
      for (const [, comment, name, value] of text.matchAll(DECLARED)) {
        const about = comment.replace(/\s*\n\s*\* ?/g, " ").trim();
        const where = `${owner}/${basename(path, ".ts")}`;
        limits.push({ where, name, value: value.replace(/\s+/g, " "), about });
      }
      for (const [, name] of text.matchAll(USED)) used.set(name, path);
    }
  return { limits, used };
}

const UNITS = [
  [/_BYTES$/, "bytes"],
  [/_CHARS$/, "characters"],
  [/_MS$/, "ms"],
  [/INTERIM/, "responses"],
  [/IDLE_PER_TARGET|IDLE_MAX/, "connections"],
  [/_PER_SECOND$/, "per second"],
  [/DEPTH/, "levels"],
  [/CACHED_TOKENS/, "tokens"],
  [/^KNOWN_MAX/, "names"],
  [/^LOGS_MAX/, "proxies"],
  [/CONTROL_KEPT|CONNECTIONS_COUNTED/, "connections"],
  [/ROWS_COUNTED/, "rows"],
  [/SUBSCRIPTIONS_KNOWN/, "subscriptions"],
  [/MISMATCHES_SHOWN/, "rules"],
  [/^REPLACED_MAX/, "ids"],
  [/HELD_FIRST/, "packets"],
  [/ID_CACHE/, "ids"],
  [/LAST_IDS/, "channels"],
  [/ID_LIST|UPDATES_PER_ACTION/, "sessions"],
  [/DISCONNECTS/, "clients"],
  [/REPLIES_PENDING/, "questions"],
  [/RETRIES|FILTER_QUEUE|WAITING_REQUESTS/, "requests"],
  [/INTERNED/, "strings"],
  [/INTEGER/, "value"],
  [/_FDS_/, "descriptors"],
  [/QUEUE|WAITING|PENDING_ITEMS/, "items"],
  [/OVERFLOW/, "messages"],
];

function unitOf({ name, about }) {
  const said = /Unit: ([^;.]+)/.exec(about)?.[1];
  const known = UNITS.find(([pattern]) => pattern.test(name))?.[1];
  // RETRIES_MAX counts retries, PENDING_CALLS_MAX calls.
  return said ?? known ?? name.replace(/_MAX$/, "").split("_").at(-1).toLowerCase();
}

/** The product, where the code says `64 * 1024 * 1024`. */
function valueOf({ where, name, value }) {
  const factors = value.replaceAll("_", "").split(" * ").map(Number);
  const product = factors.reduce((one, other) => one * other, 1);
  if (!Number.isFinite(product)) throw new Error(`limit ${where} ${name}: ${value} is no number`);
  return product.toLocaleString("en-US");
}

/** What it bounds, and what happens beyond. */
function partsOf({ where, name, about }) {
  const text = about.replace(/\.?\s*Unit: [^;.]+/, "").replace(/\.$/, "");
  const [, what, said] = /^(.*?)(?:[;.] (.*))?$/.exec(text);
  const outcome =
    OUTCOMES[`${where} ${name}`] ??
    said?.replace(/^(?:beyond it|beyond|above it|above|then),? /, "");
  return { what, outcome };
}

/** Text of docs/limits.md. Throws if a limit is used but not declared, or says too little. */
export function limitsPage(root) {
  const { limits, used } = readLimits(root);
  const names = new Set(limits.map((one) => one.name));
  for (const [name, path] of used)
    if (!names.has(name)) throw new Error(`${path}: limit ${name} is declared nowhere`);
  const silent = limits.filter((one) => partsOf(one).outcome === undefined);
  if (silent.length > 0)
    throw new Error(
      `say in the comments of these limits what happens beyond them ("…; the rest is cut"):\n` +
        silent.map(({ where, name, about }) => `  ${where} ${name}: ${about}`).join("\n"),
    );
  const keyOf = ({ where, name }) => `${where} ${name}`;
  limits.sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1)); // Not by locale: it differs.
  const rows = limits.map((limit) => {
    const { what, outcome } = partsOf(limit);
    const value = valueOf(limit);
    return `| \`${limit.where}\` | \`${limit.name}\` | ${value} | ${unitOf(limit)} | ${what} | ${outcome} |`;
  });
  return `# Limits

Everything that could grow without end has a limit with a name. Those that an operator may want to
change are keys of the configuration (\`client_maxconn\`, \`client_buffer_size\`, \`max_open_requests\`,
\`message_hwm\`, \`connection_subscription_max\`, \`push_in_http_max_body_size\` …; see
\`config-reference.md\`); the others are constants of the code. This page is made by \`npm run docs\`.

| where | name | value | unit | what it bounds | what happens beyond |
| --- | --- | --- | --- | --- | --- |
${rows.join("\n")}
`;
}
