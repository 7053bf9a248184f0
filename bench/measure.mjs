// Runs one function often enough to be timed, and says what one call costs in CPU time: on a machine
// that does other work too, that is what stays the same.
const SAMPLES = 15;
const SAMPLE_NS = 20_000_000;
const WARM_UP_NS = 400_000_000;

function cpuNs() {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/** The median of `SAMPLES` samples of at least 20 ms each, behind a warm-up for the compiler. */
export function measure(name, run) {
  for (const started = cpuNs(); cpuNs() - started < WARM_UP_NS; )
    run();
  let rounds = 1;
  for (;;) {
    const started = cpuNs();
    for (let i = 0; i < rounds; i += 1) run();
    if (cpuNs() - started >= SAMPLE_NS) break;
    rounds *= 2;
  }
  const samples = [];
  const bytes = bytesAllocated(rounds, run);
  for (let n = 0; n < SAMPLES; n += 1) {
    const started = cpuNs();
    for (let i = 0; i < rounds; i += 1) run();
    samples.push((cpuNs() - started) / rounds);
  }
  samples.sort((a, b) => a - b);
  const at = (part) => Math.round(samples[Math.floor(part * (samples.length - 1))]);
  const result = { name, medianNs: at(0.5), minNs: at(0), maxNs: at(1), bytes };
  report(result);
  return result;
}

/** One thing that takes long enough to be timed once; the median of five. */
export function measureOnce(name, run) {
  const samples = [];
  for (let n = 0; n < 5; n += 1) {
    const started = cpuNs();
    run();
    samples.push((cpuNs() - started));
  }
  samples.sort((a, b) => a - b);
  const result = { name, medianNs: samples[2], minNs: samples[0], maxNs: samples[4] };
  report(result);
  return result;
}

/** What works by callbacks: the median of batches of so many calls, behind a warm-up. */
export async function measureBatches(name, calls, run) {
  for (const started = cpuNs(); cpuNs() - started < WARM_UP_NS; ) await run();
  const samples = [];
  for (let n = 0; n < SAMPLES; n += 1) {
    const started = cpuNs();
    await run();
    samples.push((cpuNs() - started) / calls);
  }
  samples.sort((a, b) => a - b);
  const at = (part) => Math.round(samples[Math.floor(part * (samples.length - 1))]);
  const result = { name, medianNs: at(0.5), minNs: at(0), maxNs: at(1) };
  report(result);
  return result;
}

/** Heap bytes of one call; needs `--expose-gc`, and is left out where a collection came between. */
function bytesAllocated(rounds, run) {
  if (globalThis.gc === undefined) return undefined;
  const calls = Math.min(rounds, 200);
  let least = Infinity;
  for (let n = 0; n < 5; n += 1) {
    globalThis.gc();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < calls; i += 1) run();
    const grown = process.memoryUsage().heapUsed - before;
    if (grown >= 0) least = Math.min(least, grown / calls);
  }
  return least === Infinity ? undefined : Math.round(least);
}

function report({ name, medianNs, minNs, maxNs, bytes }) {
  const cell = (ns) =>
    ns >= 1e6 ? `${(ns / 1e6).toFixed(1)} ms` : ns >= 1e4 ? `${(ns / 1e3).toFixed(1)} µs` : `${ns} ns`;
  console.log(
    `${name.padEnd(56)}${cell(medianNs).padStart(10)}   ${cell(minNs)} – ${cell(maxNs)}${bytes === undefined ? "" : `   ${bytes} B`}`,
  );
}
