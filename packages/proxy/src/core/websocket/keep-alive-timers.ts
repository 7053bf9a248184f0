import { TimerWheel, type WheelEntry, type WheelNode } from "@pushpin/clock";

const TICK_MS = 100;
const SLOTS = 1024;
/** Timers go off up to this much early, so that those set together do not come together. */
const JITTER_MS = 1000;

/** Asks the handler for a keep-alive message of one WebSocket when its time has come. */
export class KeepAliveTimer implements WheelEntry {
  wheel?: WheelNode;
  dueMs = 0;
  readonly timeoutMs: number;
  readonly onDue: () => void;
  readonly #isIdle: boolean;

  /** `isIdle`: every message to the client starts it anew. */
  constructor(timeoutS: number, isIdle: boolean, onDue: () => void) {
    this.timeoutMs = timeoutS * 1000;
    this.#isIdle = isIdle;
    this.onDue = onDue;
  }

  restartIfIdle(nowMs: number): void {
    if (this.#isIdle) this.restart(nowMs);
  }

  restart(nowMs: number): void {
    const jitterMs = Math.floor(Math.random() * JITTER_MS);
    this.dueMs = nowMs + Math.max(this.timeoutMs - jitterMs, TICK_MS);
  }
}

/** All keep-alive timers of this process; a restart only moves a number. */
export class KeepAliveTimers {
  readonly #wheel: TimerWheel<KeepAliveTimer>;

  constructor(nowMs: number) {
    this.#wheel = new TimerWheel(TICK_MS, SLOTS, nowMs);
  }

  start(timer: KeepAliveTimer, nowMs: number): void {
    timer.restart(nowMs);
    this.#wheel.schedule(timer, timer.dueMs);
  }

  cancel(timer: KeepAliveTimer): void {
    this.#wheel.cancel(timer);
  }

  /** To be called every 100 ms or so. */
  advance(nowMs: number): void {
    this.#wheel.advance(nowMs, (timer) => {
      if (timer.dueMs <= nowMs) {
        timer.restart(nowMs);
        timer.onDue();
      }
      this.#wheel.schedule(timer, timer.dueMs);
    });
  }
}
