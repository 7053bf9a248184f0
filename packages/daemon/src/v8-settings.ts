import { setFlagsFromString } from "node:v8";

// Set while the process runs, so that they count whoever started it: the runner, a service manager, somebody by hand.
// A V8 that does not know one of them says so, and goes on.

/**
 * V8 optimises a function that has run this much of its bytecode; its own default is 67,584. Most of ours are short, and run
 * once for each request: they would be slow for the first some thousand requests.
 */
const OPTIMISE_AFTER_BYTES = 10_000;

/** How V8 collects, from the first line on: before it has marked anything. */
export function collectSparingly(): void {
  // Marking on other threads costs a fifth to a half more processor time for large bodies, whose buffers start most
  // collections (docs/benchmarks.md, "Bodies of 64 KiB"); on the main thread it goes in steps of up to a millisecond.
  setFlagsFromString("--no-concurrent-marking");
  // When clients have come, and nothing more happens, V8 would collect up to three times to give memory back.
  setFlagsFromString("--memory-reducer-single-gc");
}

/** Behind the start, which runs once. */
export function optimiseEarly(): void {
  setFlagsFromString(`--interrupt-budget=${OPTIMISE_AFTER_BYTES}`);
}
