import { RateLimiter } from "./rate-limiter.ts";

/** Whoever can be told to ask the backend again. */
export interface Updatable {
  /** False if that has become pointless. */
  performUpdate(nowMs: number): boolean;
}

/** Limit: sessions one action updates. */
export const UPDATES_PER_ACTION = 100;
const UPDATES_PER_SECOND = 10;

/** Updates of low priority, at most ten batches a second, fair by link (handler.md 9.4). */
export class UpdateQueue {
  readonly #limiter = new RateLimiter({
    rate: UPDATES_PER_SECOND,
    hwm: 0,
    batchWait: true,
  });
  readonly #open = new Map<string, Updatable[]>();
  #nowMs = 0;

  /** `key`: the next link; empty for response holds. */
  add(key: string, one: Updatable, nowMs: number): void {
    const batch = this.#open.get(key);
    // Limit: UPDATES_PER_ACTION
    if (batch !== undefined && batch.length < UPDATES_PER_ACTION) {
      batch.push(one);
      return;
    }
    const fresh = [one];
    this.#open.set(key, fresh);
    this.#limiter.add(key, 1, () => this.#run(key, fresh), nowMs);
  }

  get isWaiting(): boolean {
    return this.#limiter.dueMs !== undefined;
  }

  advance(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#limiter.advance(nowMs);
  }

  #run(key: string, batch: Updatable[]): boolean {
    if (this.#open.get(key) === batch) this.#open.delete(key);
    let done = false;
    for (const one of batch) done = one.performUpdate(this.#nowMs) || done;
    return done;
  }
}
