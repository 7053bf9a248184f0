/** What ordering needs to know of an item; ids are scoped by channel. */
export interface Sequenced {
  readonly channel: string;
  readonly id?: string | undefined;
  readonly prevId?: string | undefined;
  readonly noSeq?: boolean | undefined;
}

/** Limit: channels whose last id is remembered; the least recently set is forgotten. */
export const LAST_IDS_MAX = 1_000_000;
/** Limit: items of one channel that wait for their predecessor; more are dropped. */
export const PENDING_ITEMS_MAX = 100;
/** Limit: ids remembered against duplicates; the oldest is forgotten. */
export const ID_CACHE_MAX = 1_000_000;

export interface SequencerOptions {
  /** How long an item waits for its predecessor. */
  readonly messageWaitMs: number;
  /** How long an id is remembered; 0: duplicates are not looked for. */
  readonly idCacheTtlMs: number;
}

interface Waiting<I> {
  readonly item: I;
  readonly untilMs: number;
}

/**
 * Puts the items of each channel in the order of their `prev-id` chain and drops those seen before
 * (handler.md 8). Only channels somebody listens to are ordered.
 */
export class Sequencer<I extends Sequenced> {
  /** Items given up: duplicates, and those beyond the limits. */
  dropped = 0;
  #options: SequencerOptions;
  readonly #lastIds = new Map<string, string>();
  readonly #seen = new Map<string, number>();
  /** Per channel by prev-id; the order of `#waiting` is the order of arrival. */
  readonly #byChannel = new Map<string, Map<string, Waiting<I>>>();
  readonly #waiting = new Set<Waiting<I>>();

  constructor(options: SequencerOptions) {
    this.#options = options;
  }

  /** Other times from now on; what waits, or is remembered, does so as long as it was to. */
  configure(options: SequencerOptions): void {
    this.#options = options;
  }

  /** Takes one item; returns those to deliver now, in order. `listened`: the channel has subscribers. */
  add(item: I, listened: boolean, nowMs: number): I[] {
    if (this.#isDuplicate(item, nowMs)) {
      this.dropped += 1;
      return [];
    }
    if (item.noSeq || !listened) return [item];
    const lastId = this.#lastIds.get(item.channel);
    if (lastId !== undefined && item.prevId !== undefined && item.prevId !== lastId) {
      this.#hold(item, item.prevId, nowMs);
      return [];
    }
    return this.#chain(item);
  }

  /** Items that have waited long enough, each with what follows it; call it once a second. */
  expire(nowMs: number): I[] {
    for (const [key, untilMs] of this.#seen) {
      if (untilMs > nowMs) break;
      this.#seen.delete(key);
    }
    const due: I[] = [];
    for (const waiting of this.#waiting) {
      if (waiting.untilMs > nowMs) break;
      this.#release(waiting);
      due.push(...this.#chain(waiting.item));
    }
    return due;
  }

  lastId(channel: string): string | undefined {
    return this.#lastIds.get(channel);
  }

  forgetLastId(channel: string): void {
    this.#lastIds.delete(channel);
  }

  forgetAllLastIds(): void {
    this.#lastIds.clear();
  }

  /** Nobody listens any more. */
  dropChannel(channel: string): void {
    this.#lastIds.delete(channel);
    const held = this.#byChannel.get(channel);
    if (held === undefined) return;
    for (const waiting of held.values()) this.#waiting.delete(waiting);
    this.#byChannel.delete(channel);
  }

  /** What an item is remembered by; undefined: it is not. */
  keyOf({ channel, id }: Sequenced): string | undefined {
    if (this.#options.idCacheTtlMs <= 0 || id === undefined) return undefined;
    return `${channel.length}:${channel}${id}`;
  }

  /** A handler before this one has published the item of this key. */
  noteSeen(key: string, nowMs: number): void {
    if (this.#options.idCacheTtlMs <= 0) return;
    this.#remember(key, nowMs);
  }

  #isDuplicate(item: I, nowMs: number): boolean {
    const key = this.keyOf(item);
    if (key === undefined) return false;
    const untilMs = this.#seen.get(key);
    if (untilMs !== undefined) {
      if (untilMs > nowMs) return true;
      this.#seen.delete(key);
    }
    this.#remember(key, nowMs);
    return false;
  }

  #remember(key: string, nowMs: number): void {
    this.#seen.set(key, nowMs + this.#options.idCacheTtlMs);
    if (this.#seen.size > ID_CACHE_MAX) deleteOldest(this.#seen); // Limit: ID_CACHE_MAX
  }

  #hold(item: I, prevId: string, nowMs: number): void {
    let held = this.#byChannel.get(item.channel);
    if (held === undefined) {
      held = new Map();
      this.#byChannel.set(item.channel, held);
    }
    // Limit: PENDING_ITEMS_MAX
    if (held.has(prevId) || held.size >= PENDING_ITEMS_MAX) {
      this.dropped += 1;
      return;
    }
    const waiting = { item, untilMs: nowMs + this.#options.messageWaitMs };
    held.set(prevId, waiting);
    this.#waiting.add(waiting);
  }

  #release(waiting: Waiting<I>): void {
    this.#waiting.delete(waiting);
    const { channel, prevId } = waiting.item;
    const held = this.#byChannel.get(channel);
    held?.delete(prevId ?? "");
    if (held?.size === 0) this.#byChannel.delete(channel);
  }

  #chain(first: I): I[] {
    const items = [first];
    let item = first;
    for (;;) {
      this.#lastIds.delete(item.channel);
      if (item.id === undefined) return items;
      this.#lastIds.set(item.channel, item.id);
      if (this.#lastIds.size > LAST_IDS_MAX) deleteOldest(this.#lastIds); // Limit: LAST_IDS_MAX
      const next = this.#byChannel.get(item.channel)?.get(item.id);
      if (next === undefined) return items;
      this.#release(next);
      item = next.item;
      items.push(item);
    }
  }
}

function deleteOldest(map: Map<string, unknown>): void {
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
