/** Who listens to a channel: subscribers by channel, and notice of the first and the last. */
export class Subscriptions<S> {
  readonly #channels = new Map<string, Set<S>>();
  readonly #onFirst: (channel: string) => void;
  readonly #onLast: (channel: string) => void;

  constructor(onFirst: (channel: string) => void, onLast: (channel: string) => void) {
    this.#onFirst = onFirst;
    this.#onLast = onLast;
  }

  add(channel: string, subscriber: S): void {
    const set = this.#channels.get(channel);
    if (set !== undefined) {
      set.add(subscriber);
      return;
    }
    this.#channels.set(channel, new Set([subscriber]));
    this.#onFirst(channel);
  }

  remove(channel: string, subscriber: S): void {
    const set = this.#channels.get(channel);
    if (set?.delete(subscriber) !== true || set.size > 0) return;
    this.#channels.delete(channel);
    this.#onLast(channel);
  }

  of(channel: string): ReadonlySet<S> | undefined {
    return this.#channels.get(channel);
  }

  get size(): number {
    return this.#channels.size;
  }
}
