import { isSuccessor } from "./predecessors.ts";

/** Limit: ids of published items kept for the successor of a handler; the oldest are forgotten. Unit: ids. */
export const SEEN_ITEMS_MAX = 1000;
/** Limit: what these ids take; the oldest are forgotten. Unit: bytes. */
export const SEEN_ITEMS_MAX_BYTES = 262_144;
/** Limit: how long a publisher may take to send an item again; ids are forgotten after that. Unit: ms. */
export const SEEN_ITEMS_KEPT_MS = 30_000;

interface Seen {
  readonly owner: string;
  readonly ids: readonly string[];
  readonly bytes: number;
  readonly atMs: number;
}

/**
 * Ids of items that handlers have had published through here lately. The successor of one is told, so that
 * an item whose publisher had no answer does not come twice.
 */
export class SeenItems {
  #seen: Seen[] = [];
  #count = 0;
  #bytes = 0;

  add(owner: string, ids: readonly string[], nowMs: number): void {
    let bytes = 0;
    for (const id of ids) bytes += id.length;
    this.#seen.push({ owner, ids, bytes, atMs: nowMs });
    this.#count += ids.length;
    this.#bytes += bytes;
    let old = 0;
    for (const { ids: some, bytes: size, atMs } of this.#seen) {
      // Limit: SEEN_ITEMS_MAX, SEEN_ITEMS_MAX_BYTES, SEEN_ITEMS_KEPT_MS
      const isLate = nowMs - atMs >= SEEN_ITEMS_KEPT_MS;
      const isMuch = this.#count > SEEN_ITEMS_MAX || this.#bytes > SEEN_ITEMS_MAX_BYTES;
      if (!isLate && !isMuch) break;
      this.#count -= some.length;
      this.#bytes -= size;
      old += 1;
    }
    if (old > 0) this.#seen.splice(0, old);
  }

  /** Those of the handlers that `successor` takes the place of. */
  of(successor: string, nowMs: number): string[] {
    return this.#seen
      .filter(
        ({ owner, atMs }) => isSuccessor(successor, owner) && nowMs - atMs < SEEN_ITEMS_KEPT_MS,
      )
      .flatMap(({ ids }) => ids);
  }
}
