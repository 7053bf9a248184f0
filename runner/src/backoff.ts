/** A child that lived this long starts over without delay. */
export const STABLE_AFTER_MS = 10_000;
const FIRST_DELAY_MS = 50;
const DELAY_MAX_MS = 10_000;

/** How long to wait before a child is started again: at once at first, doubling while it keeps dying. */
export class Backoff {
  #failures = 0;

  /** Called when the child has ended after `livedMs`. */
  nextDelayMs(livedMs: number): number {
    if (livedMs >= STABLE_AFTER_MS) this.#failures = 0;
    const delayMs = this.#failures === 0 ? 0 : FIRST_DELAY_MS * 2 ** (this.#failures - 1);
    this.#failures += 1;
    return Math.min(delayMs, DELAY_MAX_MS);
  }
}
