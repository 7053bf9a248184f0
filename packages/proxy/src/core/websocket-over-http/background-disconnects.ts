import type { Clock } from "@pushpin/clock";

/** Limit: clients that are gone and whose backends are still to be told; further ones are not told. */
export const DISCONNECTS_MAX = 10_000;
/** Limit: how long a process that stops waits for backends to be told. */
export const DISCONNECTS_STOP_MS = 2500;

/** A connection without a client whose backend is being told so. */
export interface Disconnecting {
  /** Ends it at once, whatever the backend has heard. */
  giveUp(): void;
}

/** All connections of a process whose clients are gone and whose backends do not know it yet. */
export class BackgroundDisconnects {
  /** Connections that were ended without a word because too many waited. */
  refused = 0;
  readonly #going = new Set<Disconnecting>();
  #emptied: (() => void) | undefined;

  get size(): number {
    return this.#going.size;
  }

  /** False if there are too many: the backend will not be told. */
  add(one: Disconnecting): boolean {
    // Limit: DISCONNECTS_MAX
    if (this.#going.size >= DISCONNECTS_MAX) {
      this.refused += 1;
      return false;
    }
    this.#going.add(one);
    return true;
  }

  remove(one: Disconnecting): void {
    if (this.#going.delete(one) && this.#going.size === 0) this.#emptied?.();
  }

  /** Settles when every backend has been told, or after `DISCONNECTS_STOP_MS`; what is left then is given up. */
  stop(clock: Clock): Promise<void> {
    if (this.#going.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      // Limit: DISCONNECTS_STOP_MS
      const timer = clock.setTimer(DISCONNECTS_STOP_MS, () => {
        for (const one of [...this.#going]) one.giveUp();
      });
      this.#emptied = () => {
        this.#emptied = undefined;
        timer.cancel();
        resolve();
      };
    });
  }
}
