/** One thing to do; answers false if it came to nothing (its session is gone), which costs nothing. */
export type LimitedAction = () => boolean;

interface Waiting {
  readonly action: LimitedAction;
  readonly weight: number;
}

interface Bucket {
  readonly key: string;
  readonly actions: Waiting[];
  at: number;
  weight: number;
  /** Units spent beyond a turn; paid off before the next action. */
  debt: number;
}

export interface RateLimiterOptions {
  /** Units per second; 0 or less: no limit. */
  readonly rate: number;
  /** Limit: weight that may wait in one bucket; 0 or less: none. */
  readonly hwm: number;
  /** The first batch waits for one interval instead of running at once. */
  readonly batchWait: boolean;
}

/** From this rate on, several units run in each step of this length. */
const STEP_MS = 25;
const STEP_RATE_MIN = 40;

/** Spreads actions over time; buckets take turns, one action each (handler.md 9.1). */
export class RateLimiter {
  intervalMs = 0;
  #units = 1;
  #options: RateLimiterOptions;
  readonly #buckets = new Map<string, Bucket>();
  #turn: Bucket[] = [];
  #turnAt = 0;
  #nextMs: number | undefined;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(options: RateLimiterOptions) {
    this.#options = options;
    this.#setRate(options.rate);
  }

  /** Other limits from now on; without a rate, what waits goes at once, ahead of what comes later. */
  configure(limits: Pick<RateLimiterOptions, "rate" | "hwm">, nowMs: number): void {
    this.#options = { ...this.#options, ...limits };
    this.#setRate(limits.rate);
    if (!this.isUnlimited || this.#turn.length === 0) return;
    this.#nextMs = nowMs;
    this.advance(nowMs);
  }

  get isUnlimited(): boolean {
    return this.#options.rate <= 0;
  }

  /** When `advance` has something to do. */
  get dueMs(): number | undefined {
    return this.#nextMs;
  }

  /** False if the bucket is full and the action was refused. */
  add(key: string, weight: number, action: LimitedAction, nowMs: number): boolean {
    if (this.isUnlimited) {
      action();
      return true;
    }
    const { hwm, batchWait } = this.#options;
    let bucket = this.#buckets.get(key);
    if (hwm > 0 && (bucket?.weight ?? 0) + weight > hwm) return false;
    if (bucket === undefined) {
      bucket = { key, actions: [], at: 0, weight: 0, debt: 0 };
      this.#buckets.set(key, bucket);
      this.#turn.push(bucket);
    }
    bucket.actions.push({ action, weight });
    bucket.weight += weight;
    this.#nextMs ??= Math.max(nowMs + (batchWait ? this.intervalMs : 0), this.#notBeforeMs);
    return true;
  }

  advance(nowMs: number): void {
    while (this.#nextMs !== undefined && this.#nextMs <= nowMs) {
      const batchMs = this.#nextMs;
      this.#batch();
      // A process that slept does not catch up with what it missed.
      const nextMs = Math.max(batchMs + this.intervalMs, nowMs - this.intervalMs);
      this.#notBeforeMs = nextMs;
      this.#nextMs = this.#turn.length > 0 ? nextMs : undefined;
    }
  }

  #setRate(rate: number): void {
    if (rate >= STEP_RATE_MIN) {
      this.intervalMs = STEP_MS;
      this.#units = Math.floor((rate * STEP_MS + 999) / 1000);
    } else {
      this.intervalMs = rate > 0 ? Math.floor(1000 / rate) : 0;
      this.#units = 1;
    }
  }

  #batch(): void {
    let units = this.#units;
    while (units > 0 && this.#turn.length > 0) {
      if (this.#turnAt >= this.#turn.length) this.#turnAt = 0;
      const bucket = this.#turn[this.#turnAt] as Bucket;
      if (bucket.debt > 0) {
        bucket.debt -= 1;
        units -= 1;
      } else {
        const waiting = bucket.actions[bucket.at] as Waiting;
        bucket.at += 1;
        bucket.weight -= waiting.weight;
        if (bucket.at > 1024) {
          bucket.actions.splice(0, bucket.at);
          bucket.at = 0;
        }
        if (waiting.action()) {
          units -= 1;
          bucket.debt += Math.max(1, waiting.weight) - 1;
        }
      }
      if (bucket.debt === 0 && bucket.at === bucket.actions.length) {
        this.#buckets.delete(bucket.key);
        this.#turn.splice(this.#turnAt, 1);
      } else this.#turnAt += 1;
    }
  }
}
