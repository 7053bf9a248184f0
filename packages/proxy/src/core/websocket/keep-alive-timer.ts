import type { WheelNode } from "@pushpin/clock";
import { type SocketTimer, type SocketTimers, TICK_MS } from "./socket-timers.ts";

/** Timers go off up to this much early, so that those set together do not come together. */
const JITTER_MS = 1000;

/** Asks the handler for a keep-alive message of one WebSocket when its time has come. */
export class KeepAliveTimer implements SocketTimer {
  wheel?: WheelNode;
  readonly #timers: SocketTimers;
  readonly #timeoutMs: number;
  readonly #isIdle: boolean;
  readonly #onDue: () => void;
  #dueMs = 0;

  /** `isIdle`: every message to the client starts it anew. */
  constructor(timers: SocketTimers, timeoutS: number, isIdle: boolean, onDue: () => void) {
    this.#timers = timers;
    this.#timeoutMs = timeoutS * 1000;
    this.#isIdle = isIdle;
    this.#onDue = onDue;
  }

  start(nowMs: number): void {
    this.#restart(nowMs);
    this.#timers.schedule(this, this.#dueMs);
  }

  cancel(): void {
    this.#timers.cancel(this);
  }

  /** Only moves a number: the wheel finds out when the old time has come. */
  messageSent(nowMs: number): void {
    if (this.#isIdle) this.#restart(nowMs);
  }

  due(nowMs: number): void {
    if (this.#dueMs <= nowMs) {
      this.#restart(nowMs);
      this.#onDue();
    }
    this.#timers.schedule(this, this.#dueMs);
  }

  #restart(nowMs: number): void {
    const jitterMs = Math.floor(Math.random() * JITTER_MS);
    this.#dueMs = nowMs + Math.max(this.#timeoutMs - jitterMs, TICK_MS);
  }
}
