// Writes the pages that follow from the code: `npm run docs`. With `--check` it only says whether
// they are current.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseIni, SECTIONS } from "../../packages/config/dist/index.js";
import { configPage } from "./config-page.mjs";
import { limitsPage } from "./limits-page.mjs";
import { manPages } from "./man-pages.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const isCheck = process.argv.includes("--check");
const pages = new Map([
  ["docs/limits.md", limitsPage(root)],
  ["docs/config-reference.md", configPage(SECTIONS, parseIni(read("config/pushpin.conf")))],
  ...manPages(root, SECTIONS),
]);
for (const [path, text] of pages) {
  if (read(path) === text) continue;
  if (isCheck) stale(path);
  else {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}
for (const name of readdirSync(join(root, "man"))) {
  if (pages.has(`man/${name}`)) continue;
  if (isCheck) stale(`man/${name}`);
  else rmSync(join(root, "man", name));
}

function stale(path) {
  console.error(`${path} is not current: run npm run docs`);
  process.exitCode = 1;
}

function read(path) {
  try {
    return readFileSync(join(root, path), "utf8");
  } catch {
    return "";
  }
}
