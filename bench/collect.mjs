// Put before every process with `--import`: SIGPWR makes it collect its garbage and write what is left, in bytes, to
// `memory-PID` where it was started.
import { renameSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
process.on("SIGPWR", () => {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  writeFileSync(`memory-${process.pid}.new`, String(heapUsed + external));
  renameSync(`memory-${process.pid}.new`, `memory-${process.pid}`);
});
