// Put before every process with `--import`: SIGPWR makes it die of an exception nobody catches, SIGXCPU of a full
// heap, SIGTRAP never ends.
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
