// Runs one function often enough to be timed, and says what one call costs in CPU time: on a machine
// that does other work too, that is what stays the same.
const SAMPLES = 15;
const SAMPLE_NS = 20_000_000;
const COUNTED_CALLS = 200;

/** `BENCH=once`: each function runs a few times only, to see that it still works. */
const isOnce = process.env.BENCH === "once";
/** `BENCH=json`: one line of JSON for each. */
const isJson = process.env.BENCH === "json";
/** Bytes are counted when the compiler is done: until then a call allocates now twice as much, now less. */
const WARM_UP_NS = isJson ? 2_000_000_000 : 400_000_000;

/** The median of `SAMPLES` samples of at least 20 ms each, behind a warm-up for the compiler. */
export function measure(name, run) {
  if (isOnce) {
    for (let i = 0; i < 3; i += 1) run();
    return;
  }
  for (const started = cpuNs(); cpuNs() - started < WARM_UP_NS; ) run();
  let rounds = 1;
  for (;;) {
    const started = cpuNs();
    for (let i = 0; i < rounds; i += 1) run();
    if (cpuNs() - started >= SAMPLE_NS) break;
    rounds *= 2;
  }
  const samples = [];
  const bytes = bytesAllocated(run);
  for (let n = 0; n < SAMPLES; n += 1) {
    const started = cpuNs();
    for (let i = 0; i < rounds; i += 1) run();
    samples.push((cpuNs() - started) / rounds);
  }
  report(name, samples, bytes);
}

/** One thing that takes long enough to be timed once; the median of five. */
export function measureOnce(name, run) {
  const samples = [];
  for (let n = 0; n < (isOnce ? 1 : 5); n += 1) {
    const started = cpuNs();
    run();
    samples.push(cpuNs() - started);
  }
  if (!isOnce) report(name, samples, undefined);
}

/** What works by callbacks: the median of batches of so many calls, behind a warm-up. */
export async function measureBatches(name, calls, run) {
  if (isOnce) {
    await run();
    return;
  }
  for (const started = cpuNs(); cpuNs() - started < WARM_UP_NS; ) await run();
  const samples = [];
  for (let n = 0; n < SAMPLES; n += 1) {
    const started = cpuNs();
    await run();
    samples.push((cpuNs() - started) / calls);
  }
  report(name, samples, undefined);
}

function cpuNs() {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/** Heap bytes of one call; needs `--expose-gc`. */
function bytesAllocated(run) {
  if (globalThis.gc === undefined) return undefined;
  const grown = [];
  for (let n = 0; n < 9; n += 1) {
    globalThis.gc();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < COUNTED_CALLS; i += 1) run();
    const bytes = process.memoryUsage().heapUsed - before;
    // A collection came between.
    if (bytes > 0) grown.push(bytes / COUNTED_CALLS);
  }
  grown.sort((a, b) => a - b);
  return grown.length === 0 ? undefined : Math.round(grown[Math.floor(grown.length / 2)]);
}

function report(name, samples, bytes) {
  samples.sort((a, b) => a - b);
  const at = (part) => Math.round(samples[Math.floor(part * (samples.length - 1))]);
  const [median, least, most] = [at(0.5), at(0), at(1)];
  if (isJson) {
    console.log(JSON.stringify({ name, medianNs: median, leastNs: least, mostNs: most, bytes }));
    return;
  }
  const cell = (ns) =>
    ns >= 1e6 ? `${(ns / 1e6).toFixed(1)} ms` : ns >= 1e4 ? `${(ns / 1e3).toFixed(1)} µs` : `${ns} ns`;
  const heap = bytes === undefined ? "" : `   ${bytes} B`;
  console.log(`${name.padEnd(56)}${cell(median).padStart(10)}   ${cell(least)} – ${cell(most)}${heap}`);
}
