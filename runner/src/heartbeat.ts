/** How often a process says that it is alive, and how often that is looked at. */
export const BEAT_MS = 1000;

/** Why a process is given up. */
export type Hang = "not ready" | "silent";

/**
 * Notices a process that says nothing any more, stopped or caught in a loop, or does not come to the end of its
 * start. Time is counted in looks of ours, not by a clock: where the runner itself, or the whole machine, stood
 * still, nobody is to blame.
 */
export class Heartbeat {
  readonly #missesMax: number;
  readonly #startMax: number;
  #misses: number | undefined;
  #isReady = false;
  #looks = 0;

  /** `silenceMaxMs`: silence for longer means that it hangs; `startMaxMs`: so does a start that takes longer; 0: never. */
  constructor(silenceMaxMs: number, startMaxMs: number) {
    this.#missesMax = looksOf(silenceMaxMs);
    this.#startMax = looksOf(startMaxMs);
  }

  /** It is alive. Once it is ready, one that never says so is not watched. */
  beat(): void {
    this.#misses = 0;
  }

  /** All its sockets are open. */
  ready(): void {
    this.#isReady = true;
  }

  /** A look, every `BEAT_MS`. @returns why it counts as hanging from now on, if it does. */
  look(): Hang | undefined {
    this.#looks += 1;
    if (!this.#isReady && this.#looks > this.#startMax) return "not ready";
    if (this.#misses === undefined) return undefined;
    this.#misses += 1;
    return this.#misses > this.#missesMax ? "silent" : undefined;
  }
}

function looksOf(maxMs: number): number {
  return maxMs === 0 ? Infinity : Math.max(1, Math.ceil(maxMs / BEAT_MS));
}
