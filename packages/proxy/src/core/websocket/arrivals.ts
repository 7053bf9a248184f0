import type { Clock, Timer } from "@pushpin/clock";
import { isSuccessor } from "@pushpin/zhttp";

/**
 * Limit: time an HTTP client has to announce itself to a proxy that has just started; then WebSockets that
 * were kept there are closed with 1012. Unit: ms.
 */
export const ARRIVAL_MAX_MS = 10_000;

interface Waiting {
  readonly id: string;
  readonly done: (isThere: boolean) => void;
  readonly timer: Timer;
}

/** Which HTTP clients have announced themselves, and who waits for one of them. */
export class Arrivals {
  readonly #clock: Clock;
  /** The newest of each place. */
  #there: string[] = [];
  readonly #waiting = new Set<Waiting>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  arrived(id: string): void {
    this.#there = this.#there.filter((one) => one !== id && !isSuccessor(id, one));
    this.#there.push(id);
    for (const waiting of [...this.#waiting]) {
      if (waiting.id === id) this.#end(waiting, true);
      else if (isSuccessor(id, waiting.id)) this.#end(waiting, false);
    }
  }

  /** Calls back as soon as it is known whether `id` is there. */
  await(id: string, done: (isThere: boolean) => void): void {
    if (this.#there.includes(id)) done(true);
    else if (this.#there.some((one) => isSuccessor(one, id))) done(false);
    else {
      const timer = this.#clock.setTimer(ARRIVAL_MAX_MS, () => this.#end(waiting, false)); // Limit: ARRIVAL_MAX_MS
      const waiting: Waiting = { id, done, timer };
      this.#waiting.add(waiting);
    }
  }

  #end(waiting: Waiting, isThere: boolean): void {
    waiting.timer.cancel();
    if (this.#waiting.delete(waiting)) waiting.done(isThere);
  }
}
