// Writes the pages that follow from the code: `npm run docs`. With `--check` it only says whether
// they are current.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SECTIONS } from "../../packages/config/dist/index.js";
import { configPage } from "./config-page.mjs";
import { limitsPage } from "./limits-page.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const isCheck = process.argv.includes("--check");
const pages = new Map([
  ["docs/limits.md", () => limitsPage(root)],
  ["docs/config-reference.md", () => configPage(SECTIONS)],
]);
for (const [path, make] of pages) {
  const text = make();
  if (readOrNothing(`${root}/${path}`) === text) continue;
  if (!isCheck) writeFileSync(`${root}/${path}`, text);
  else {
    console.error(`${path} is not current: run npm run docs`);
    process.exitCode = 1;
  }
}

function readOrNothing(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
