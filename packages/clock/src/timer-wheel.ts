/** Where an entry hangs in a wheel; owned by the wheel. */
export interface WheelNode {
  slot: number;
  dueMs: number;
}

export interface WheelEntry {
  wheel?: WheelNode | undefined;
}

/**
 * One coarse timer for many deadlines: scheduling and cancelling cost a set operation, nothing is
 * allocated per timer but its node. An entry is due at most one tick late, never early.
 */
export class TimerWheel<T extends WheelEntry> {
  readonly #tickMs: number;
  readonly #slots: Set<T>[];
  #tick: number;

  constructor(tickMs: number, slots: number, nowMs: number) {
    this.#tickMs = tickMs;
    this.#slots = Array.from({ length: slots }, () => new Set<T>());
    this.#tick = Math.floor(nowMs / tickMs);
  }

  /** (Re)schedules the entry. */
  schedule(entry: T, dueMs: number): void {
    const tick = Math.max(Math.ceil(dueMs / this.#tickMs), this.#tick + 1);
    const slot = tick % this.#slots.length;
    if (entry.wheel === undefined) entry.wheel = { slot, dueMs };
    else {
      if (entry.wheel.slot !== slot) this.#slots[entry.wheel.slot]?.delete(entry);
      entry.wheel.slot = slot;
      entry.wheel.dueMs = dueMs;
    }
    this.#slots[slot]?.add(entry);
  }

  cancel(entry: T): void {
    if (entry.wheel === undefined) return;
    this.#slots[entry.wheel.slot]?.delete(entry);
    entry.wheel = undefined; // not `delete`, which would make the entry a slow object
  }

  /** Calls `onDue` for every entry whose time has come; call it about once a tick. */
  advance(nowMs: number, onDue: (entry: T) => void): void {
    const until = Math.floor(nowMs / this.#tickMs);
    // After a long stop every slot is looked at once, which is all of them.
    const first = Math.max(this.#tick + 1, until - this.#slots.length + 1);
    for (let tick = first; tick <= until; tick += 1) {
      this.#tick = tick;
      const slot = this.#slots[tick % this.#slots.length] as Set<T>;
      for (const entry of [...slot]) {
        if (entry.wheel === undefined || entry.wheel.dueMs > nowMs) continue; // a later round
        slot.delete(entry);
        entry.wheel = undefined;
        onDue(entry);
      }
    }
    this.#tick = Math.max(this.#tick, until);
  }
}
