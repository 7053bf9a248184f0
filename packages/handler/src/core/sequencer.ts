import type { PublishItem } from "@pushpin/grip";

/** Limit: items of one channel waiting for the one before them; more are dropped. */
export const PENDING_MAX = 100;
/** Limit: channels whose last id is remembered; the least recently set is forgotten. */
export const LAST_IDS_MAX = 1_000_000;

interface Held {
  readonly item: PublishItem;
  readonly dueMs: number;
}

/** Orders the items of each channel by prev-id and drops repeated ids (handler.md 8). */
export class Sequencer {
  dropped = 0;
  readonly #waitMs: number;
  readonly #idTtlMs: number;
  readonly #isSubscribed: (channel: string) => boolean;
  readonly #lastIds = new Map<string, string>();
  readonly #pending = new Map<string, Map<string, Held>>();
  /** Generations of seen ids: dropping a whole one is free, deleting the oldest key of a big map is not. */
  #seen: Set<string>[] = [new Set()];
  #generationEndsMs = 0;

  constructor(options: {
    waitMs: number;
    idTtlMs: number;
    isSubscribed: (channel: string) => boolean;
  }) {
    this.#waitMs = options.waitMs;
    this.#idTtlMs = options.idTtlMs;
    this.#isSubscribed = options.isSubscribed;
  }

  /** What is to be delivered now, in order. */
  receive(item: PublishItem, nowMs: number): PublishItem[] {
    if (
      this.#idTtlMs > 0 &&
      item.id !== undefined &&
      this.#isRepeated(`${item.channel}\0${item.id}`, nowMs)
    )
      return [];
    if (item.noSeq || !this.#isSubscribed(item.channel)) return [item];
    const last = this.#lastIds.get(item.channel);
    if (last !== undefined && item.prevId !== undefined && item.prevId !== last) {
      this.#hold(item, item.prevId, nowMs);
      return [];
    }
    return this.#release(item);
  }

  /** Items that have waited long enough, with what chains from them. */
  expire(nowMs: number): PublishItem[] {
    const out: PublishItem[] = [];
    for (const [channel, held] of this.#pending) {
      for (const [prevId, { item, dueMs }] of held) {
        if (dueMs > nowMs) continue;
        held.delete(prevId);
        out.push(...this.#release(item));
      }
      if (held.size === 0) this.#pending.delete(channel);
    }
    return out;
  }

  lastId(channel: string): string | undefined {
    return this.#lastIds.get(channel);
  }

  /** The channel has no subscribers any more. */
  forget(channel: string): void {
    this.#lastIds.delete(channel);
    this.#pending.delete(channel);
  }

  #hold(item: PublishItem, prevId: string, nowMs: number): void {
    const held = this.#pending.get(item.channel) ?? new Map<string, Held>();
    if (held.has(prevId) || held.size >= PENDING_MAX) {
      this.dropped += 1;
      return;
    }
    held.set(prevId, { item, dueMs: nowMs + this.#waitMs });
    this.#pending.set(item.channel, held);
  }

  #release(first: PublishItem): PublishItem[] {
    const out: PublishItem[] = [];
    for (let item: PublishItem | undefined = first; item !== undefined; ) {
      out.push(item);
      this.#lastIds.delete(item.channel);
      if (item.id === undefined) break;
      this.#lastIds.set(item.channel, item.id);
      if (this.#lastIds.size > LAST_IDS_MAX)
        this.#lastIds.delete(this.#lastIds.keys().next().value as string);
      const held = this.#pending.get(item.channel);
      const next: Held | undefined = held?.get(item.id);
      if (next !== undefined) held?.delete(item.id);
      item = next?.item;
    }
    return out;
  }

  #isRepeated(key: string, nowMs: number): boolean {
    if (nowMs >= this.#generationEndsMs) {
      const missed = Math.min(
        7,
        1 + Math.floor((nowMs - this.#generationEndsMs) / (this.#idTtlMs / 6)),
      );
      for (let i = 0; i < missed; i += 1) this.#seen.unshift(new Set());
      this.#seen.length = Math.min(this.#seen.length, 7);
      this.#generationEndsMs = nowMs + this.#idTtlMs / 6;
    }
    if (this.#seen.some((one) => one.has(key))) return true;
    this.#seen[0]?.add(key);
    return false;
  }
}
