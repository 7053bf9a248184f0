// `npm run bench [-- PART…]`: micro-benchmarks of the built packages, one after the other.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(here)
  .filter((one) => one.endsWith(".bench.mjs"))
  .filter((one) => wanted.length === 0 || wanted.some((part) => one.startsWith(part)));
console.log(`node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim()}`);
console.log("CPU time of one call: median of 15 samples, least – most; heap bytes\n");
for (const file of files) {
  console.log(`# ${file.replace(".bench.mjs", "")}`);
  const done = spawnSync(process.execPath, ["--expose-gc", "--single-threaded", here + file], { stdio: "inherit" });
  if (done.status !== 0) process.exitCode = 1;
  console.log("");
}
