export interface SubscriptionEvents {
  present(mode: string, channel: string, subscribers: number): void;
  ended(mode: string, channel: string): void;
}

interface Subscription {
  readonly mode: string;
  readonly channel: string;
  subscribers: number;
  refreshMs: number;
}

/** Who listens to what, announced when it begins, changes, ends, and from time to time. */
export class SubscriptionTable {
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #changed = new Set<Subscription>();
  readonly #refreshMs: number;
  readonly #events: SubscriptionEvents;

  constructor(ttlMs: number, events: SubscriptionEvents) {
    this.#refreshMs = (ttlMs * 3) / 4;
    this.#events = events;
  }

  set(mode: string, channel: string, subscribers: number, nowMs: number): void {
    const key = `${mode} ${channel}`;
    const known = this.#subscriptions.get(key);
    if (subscribers === 0) {
      if (known === undefined) return;
      this.#subscriptions.delete(key);
      this.#changed.delete(known);
      this.#events.ended(mode, channel);
      return;
    }
    if (known !== undefined) {
      known.subscribers = subscribers;
      this.#changed.add(known);
      return;
    }
    const refreshMs = nowMs + this.#refreshMs;
    this.#subscriptions.set(key, { mode, channel, subscribers, refreshMs });
    this.#events.present(mode, channel, subscribers);
  }

  /** Once a second. */
  tick(nowMs: number): void {
    for (const one of this.#changed) this.#announce(one, nowMs);
    this.#changed.clear();
    for (const one of this.#subscriptions.values())
      if (nowMs >= one.refreshMs) this.#announce(one, nowMs);
  }

  #announce(one: Subscription, nowMs: number): void {
    one.refreshMs = nowMs + this.#refreshMs;
    this.#events.present(one.mode, one.channel, one.subscribers);
  }
}
