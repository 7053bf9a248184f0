/** How often a process says that it is alive, and how often that is looked at. */
export const BEAT_MS = 1000;

/**
 * Notices a process that says nothing any more: stopped, or caught in a loop. Time is counted in looks of ours,
 * not by a clock: where the runner itself, or the whole machine, stood still, nobody is to blame.
 */
export class Heartbeat {
  readonly #missesMax: number;
  #misses: number | undefined;

  /** `silenceMaxMs`: silence for longer means that it hangs; 0: never. */
  constructor(silenceMaxMs: number) {
    this.#missesMax = silenceMaxMs === 0 ? Infinity : Math.max(1, Math.ceil(silenceMaxMs / BEAT_MS));
  }

  /** It is alive. One that never says so is not watched. */
  beat(): void {
    this.#misses = 0;
  }

  /** A look, every `BEAT_MS`. @returns whether it counts as hanging from now on. */
  look(): boolean {
    if (this.#misses === undefined) return false;
    this.#misses += 1;
    return this.#misses > this.#missesMax;
  }
}
