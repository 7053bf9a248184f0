// Loaded into every process of an installation of the crash table: signals that make a process end in other ways.
process.on("SIGURG", () => {
  throw new Error("thrown by the crash table");
});
process.on("SIGIO", () => {
  const kept = [];
  for (;;) kept.push(new Array(10_000).fill(0.5));
});
