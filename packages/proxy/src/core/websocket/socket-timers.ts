import { TimerWheel, type WheelEntry } from "@pushpin/clock";

export const TICK_MS = 100;
const SLOTS = 1024;

export interface SocketTimer extends WheelEntry {
  due(nowMs: number): void;
}

/** The timers of all WebSockets of this process, none of them exact to more than a tick. */
export class SocketTimers {
  readonly #wheel: TimerWheel<SocketTimer>;

  constructor(nowMs: number) {
    this.#wheel = new TimerWheel(TICK_MS, SLOTS, nowMs);
  }

  schedule(timer: SocketTimer, dueMs: number): void {
    this.#wheel.schedule(timer, dueMs);
  }

  cancel(timer: SocketTimer): void {
    this.#wheel.cancel(timer);
  }

  /** To be called every `TICK_MS`; where it comes later, timers are later by that. */
  advance(nowMs: number): void {
    this.#wheel.advance(nowMs, (timer) => timer.due(nowMs));
  }
}
