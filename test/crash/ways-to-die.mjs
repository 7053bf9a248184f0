// Put before every process with `--import`: SIGPWR makes it die of an exception nobody catches, SIGXCPU of a full
// heap, SIGTRAP never ends; nor does the start of one that finds the file `hang-<role>` where it was started.
import { existsSync } from "node:fs";

const [, role] = /pushpin-(\w+)\.js$/.exec(process.argv[1] ?? "") ?? [];
while (role !== undefined && existsSync(`hang-${role}`));
process.on("SIGPWR", () => {
  throw new Error("thrown by a test");
});
process.on("SIGXCPU", () => {
  const kept = [];
  for (;;) kept.push(new Array(1000).fill(kept.length));
});
process.on("SIGTRAP", () => {
  for (;;);
});
