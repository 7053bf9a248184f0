export interface Timer {
  cancel(): void;
}

/** Time as an argument: cores take numbers, shells take a clock. */
export interface Clock {
  /** Milliseconds that only move forward; of no meaning outside the process. */
  nowMs(): number;
  /** Milliseconds since 1970, for what others read. */
  wallMs(): number;
  setTimer(delayMs: number, run: () => void): Timer;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

interface Pending {
  readonly dueMs: number;
  readonly run: () => void;
}

/** A clock that stands still until a test moves it; timers run in order of their due times. */
export class ManualClock implements Clock {
  #nowMs: number;
  #pending: Pending[] = [];

  constructor(nowMs = 0) {
    this.#nowMs = nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const pending = { dueMs: this.#nowMs + delayMs, run };
    this.#pending.push(pending);
    return {
      cancel: () => {
        this.#pending = this.#pending.filter((one) => one !== pending);
      },
    };
  }

  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = this.#pending.filter((one) => one.dueMs <= untilMs);
      const next = due.reduce<Pending | undefined>(
        (first, one) => (first === undefined || one.dueMs < first.dueMs ? one : first),
        undefined,
      );
      if (next === undefined) break;
      this.#pending = this.#pending.filter((one) => one !== next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.run();
    }
    this.#nowMs = untilMs;
  }
}
