/** Between ticks while nothing happens: what is due then is late by up to this. */
export const REST_MS = 250;
/** Ticks without any event before the process rests. */
const QUIET_TICKS = 4;

/**
 * How soon the next tick comes. Forty wake-ups a second cost more than all keep-alives of 10,000 idle
 * clients, so a process to which nothing happens takes four.
 */
export class TickPace {
  readonly #tickMs: number;
  #quietTicks = 0;
  #isResting = false;

  /** `tickMs`: between ticks while something happens; less than `REST_MS`. */
  constructor(tickMs: number) {
    this.#tickMs = tickMs;
  }

  /** Something has happened. True: the next tick is too far away. */
  event(): boolean {
    this.#quietTicks = 0;
    if (!this.#isResting) return false;
    this.#isResting = false;
    return true;
  }

  /** A tick is over; `isWaiting`: something needs the next one soon. */
  delayMs(isWaiting: boolean): number {
    this.#quietTicks = isWaiting ? 0 : this.#quietTicks + 1;
    this.#isResting = this.#quietTicks >= QUIET_TICKS;
    return this.#isResting ? REST_MS : this.#tickMs;
  }
}
