import type { Session } from "@pushpin/zhttp";

/** Limit: clients that have left and whose owner has not confirmed it; the oldest is forgotten. Unit: clients. */
export const DEPARTED_MAX = 10_000;
/** Limit: what is kept of them for a successor of the owner; the oldest are forgotten. Unit: bytes. */
export const DEPARTED_MAX_BYTES = 16_777_216;
/** Limit: how long an owner that does not confirm is waited for, or its successor; then they are forgotten. Unit: ms. */
export const DEPARTED_KEPT_MS = 60_000;

interface Entry {
  readonly number: number;
  readonly session: Session;
  readonly bytes: number;
  readonly sinceMs: number;
}

interface Owner {
  /** By number, which counts up. */
  entries: Entry[];
  /** Up to where the owner is asked whether it has heard; 0: it is not asked at present. */
  askedFor: number;
}

/**
 * Sessions of clients that have left, as long as their owner may have died without hearing of it: then
 * its successor is told. An owner is asked once at a time whether it has heard of all up to a number.
 */
export class Departed {
  readonly #owners = new Map<string, Owner>();
  #number = 0;
  #count = 0;
  #bytes = 0;

  get size(): number {
    return this.#count;
  }

  /** Returns the number its owner is to be asked for; undefined while another question is under way. */
  add(session: Session, nowMs: number): number | undefined {
    const { peer, keptBytes: bytes } = session;
    let owner = this.#owners.get(peer);
    if (owner === undefined) {
      owner = { entries: [], askedFor: 0 };
      this.#owners.set(peer, owner);
    }
    this.#number += 1;
    owner.entries.push({ number: this.#number, session, bytes, sinceMs: nowMs });
    this.#count += 1;
    this.#bytes += bytes;
    // Limit: DEPARTED_MAX, DEPARTED_MAX_BYTES
    while (this.#count > DEPARTED_MAX || this.#bytes > DEPARTED_MAX_BYTES) this.#forgetOldest();
    return this.#ask(owner);
  }

  /** The owner has heard of all up to `number`; what it is to be asked for next, if anything. */
  confirmed(peer: string, number: number): number | undefined {
    const owner = this.#owners.get(peer);
    if (owner === undefined) return undefined;
    if (number >= owner.askedFor) owner.askedFor = 0;
    this.#drop(peer, owner, (one) => one.number <= number);
    return this.#ask(owner);
  }

  /** Those whose owner has a successor now. */
  take(isReplaced: (peer: string) => boolean): Session[] {
    const sessions: Session[] = [];
    for (const [peer, owner] of this.#owners) {
      if (!isReplaced(peer)) continue;
      for (const { session } of owner.entries) sessions.push(session);
      this.#drop(peer, owner, () => true);
    }
    return sessions;
  }

  expire(nowMs: number): void {
    if (this.#count === 0) return;
    // Limit: DEPARTED_KEPT_MS
    for (const [peer, owner] of this.#owners)
      this.#drop(peer, owner, ({ sinceMs }) => nowMs - sinceMs >= DEPARTED_KEPT_MS);
  }

  #ask(owner: Owner): number | undefined {
    const last = owner.entries.at(-1);
    if (last === undefined || owner.askedFor > 0) return undefined;
    owner.askedFor = last.number;
    return last.number;
  }

  #forgetOldest(): void {
    for (const [peer, owner] of this.#owners) {
      const [oldest] = owner.entries;
      if (oldest === undefined) continue;
      this.#drop(peer, owner, ({ number }) => number <= oldest.number);
      return;
    }
  }

  /** Those in front of which `isOver` is true. */
  #drop(peer: string, owner: Owner, isOver: (entry: Entry) => boolean): void {
    let over = 0;
    for (const entry of owner.entries) {
      if (!isOver(entry)) break;
      over += 1;
      this.#bytes -= entry.bytes;
    }
    this.#count -= over;
    owner.entries.splice(0, over);
    if (owner.entries.length === 0) this.#owners.delete(peer);
  }
}
