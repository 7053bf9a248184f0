/** Where an entry hangs in a wheel; owned by the wheel. */
export interface WheelNode {
  slot: number;
  /** Place in the slot. */
  at: number;
  dueMs: number;
}

export interface WheelEntry {
  wheel?: WheelNode | undefined;
}

/**
 * One coarse timer for many deadlines: scheduling and cancelling cost a few writes, nothing is
 * allocated per timer but its node. An entry is due at most one tick late, never early.
 */
export class TimerWheel<T extends WheelEntry> {
  readonly #tickMs: number;
  readonly #slots: T[][];
  #tick: number;

  constructor(tickMs: number, slots: number, nowMs: number) {
    this.#tickMs = tickMs;
    this.#slots = Array.from({ length: slots }, () => []);
    this.#tick = Math.floor(nowMs / tickMs);
  }

  /** (Re)schedules the entry. */
  schedule(entry: T, dueMs: number): void {
    const tick = Math.max(Math.ceil(dueMs / this.#tickMs), this.#tick + 1);
    const slot = tick % this.#slots.length;
    const { wheel } = entry;
    if (wheel !== undefined) {
      wheel.dueMs = dueMs;
      if (wheel.slot === slot) return;
      this.#remove(wheel);
    }
    const entries = this.#slots[slot] as T[];
    if (wheel === undefined) entry.wheel = { slot, at: entries.length, dueMs };
    else {
      wheel.slot = slot;
      wheel.at = entries.length;
    }
    entries.push(entry);
  }

  cancel(entry: T): void {
    if (entry.wheel === undefined) return;
    this.#remove(entry.wheel);
    entry.wheel = undefined; // not `delete`, which would make the entry a slow object
  }

  /** The last of the slot takes the place. An array, because sets that entries pass through make garbage that lasts. */
  #remove({ slot, at }: WheelNode): void {
    const entries = this.#slots[slot] as T[];
    const last = entries.pop() as T;
    if (at === entries.length) return;
    entries[at] = last;
    (last.wheel as WheelNode).at = at;
  }

  /** Calls `onDue` for every entry whose time has come; call it about once a tick. */
  advance(nowMs: number, onDue: (entry: T) => void): void {
    const until = Math.floor(nowMs / this.#tickMs);
    // After a long stop every slot is looked at once, which is all of them.
    const first = Math.max(this.#tick + 1, until - this.#slots.length + 1);
    for (let tick = first; tick <= until; tick += 1) {
      this.#tick = tick;
      const slot = this.#slots[tick % this.#slots.length] as T[];
      for (const entry of [...slot]) {
        if (entry.wheel === undefined || entry.wheel.dueMs > nowMs) continue; // a later round
        this.cancel(entry);
        onDue(entry);
      }
    }
    this.#tick = Math.max(this.#tick, until);
  }
}
