import { TimerWheel, type WheelNode } from "@pushpin/clock";

export interface SubscriptionEvents {
  present(mode: string, channel: string, subscribers: number): void;
  ended(mode: string, channel: string): void;
}

interface Subscription {
  wheel?: WheelNode;
  readonly mode: string;
  readonly channel: string;
  subscribers: number;
}

const SECOND_MS = 1000;
const WHEEL_SLOTS = 128;

/** Who listens to what, announced when it begins, changes, ends, and from time to time. */
export class SubscriptionTable {
  /** By mode and channel. */
  readonly #modes = new Map<string, Map<string, Subscription>>();
  readonly #changed = new Set<Subscription>();
  readonly #wheel: TimerWheel<Subscription>;
  readonly #refreshMs: number;
  readonly #events: SubscriptionEvents;
  #added = 0;

  /** Announcements are repeated within three quarters of `ttlMs`. */
  constructor(ttlMs: number, nowMs: number, events: SubscriptionEvents) {
    this.#refreshMs = (ttlMs * 3) / 4;
    this.#wheel = new TimerWheel(SECOND_MS, WHEEL_SLOTS, nowMs);
    this.#events = events;
  }

  set(mode: string, channel: string, subscribers: number, nowMs: number): void {
    let channels = this.#modes.get(mode);
    if (channels === undefined) {
      channels = new Map();
      this.#modes.set(mode, channels);
    }
    const known = channels.get(channel);
    if (subscribers === 0) {
      if (known === undefined) return;
      channels.delete(channel);
      this.#changed.delete(known);
      this.#wheel.cancel(known);
      this.#events.ended(mode, channel);
      return;
    }
    if (known !== undefined) {
      known.subscribers = subscribers;
      this.#changed.add(known);
      return;
    }
    const subscription: Subscription = { mode, channel, subscribers };
    channels.set(channel, subscription);
    this.#wheel.schedule(subscription, nowMs + this.#firstRefreshMs());
    this.#events.present(mode, channel, subscribers);
  }

  /** Once a second. */
  tick(nowMs: number): void {
    for (const one of this.#changed) this.#announce(one, nowMs);
    this.#changed.clear();
    this.#wheel.advance(nowMs, (one) => this.#announce(one, nowMs));
  }

  #announce(one: Subscription, nowMs: number): void {
    this.#wheel.schedule(one, nowMs + this.#refreshMs);
    this.#events.present(one.mode, one.channel, one.subscribers);
  }

  /** In the second half of the time, by turns: those that came together are spread over seconds. */
  #firstRefreshMs(): number {
    const half = this.#refreshMs / 2;
    const spread = (this.#added * SECOND_MS) % Math.max(half, SECOND_MS);
    this.#added += 1;
    return Math.min(half + spread, this.#refreshMs);
  }
}
