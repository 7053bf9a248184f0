import { encodeReport } from "./reported-items.ts";

/**
 * Limit: how long a publisher waits for processes to confirm that they have what was published; it is
 * answered then, and the ones that were silent are not waited for until they confirm again. Unit: ms.
 */
export const CONFIRM_MAX_MS = 1000;

/** A connection manager, or a proxy, of ours. */
export interface Destination {
  readonly kind: "connmgr" | "proxy";
  readonly id: string;
}

/** To be asked, behind everything it was sent: has it got that? */
export interface Question {
  readonly to: Destination;
  readonly number: number;
  /** Items among it (`encodeReport`). */
  readonly ids: readonly string[];
}

interface Publish {
  /** Destinations that have not confirmed. */
  left: number;
  readonly dueMs: number;
  readonly done: () => void;
}

interface Asked {
  readonly number: number;
  readonly publish: Publish;
}

class Peer {
  readonly to: Destination;
  /** Number of the last question, or of the next one where `isDirty`. */
  number = 0;
  /** Something was sent since the last question. */
  isDirty = false;
  /** The last question that was asked, and that was confirmed. */
  asked = 0;
  confirmed = 0;
  /** It let somebody wait for too long. */
  isSilent = false;
  waiting: Asked[] = [];
  /** Of items sent since the last question. */
  ids: string[] = [];

  constructor(to: Destination) {
    this.to = to;
  }

  /**
   * The next question may be asked: none is under way, so that under load one stands for many
   * publishes. Ids do not wait: they have to be where their items are.
   */
  get isFree(): boolean {
    return this.confirmed >= this.asked || this.isSilent || this.ids.length > 0;
  }
}

/**
 * Who has what was published: publishers are answered when every process it was sent to has confirmed
 * that, so that it does not go with ours. One question at a time to each process, for everything before it.
 */
export class Confirmations {
  readonly #peers = new Map<string, Peer>();
  readonly #publishes = new Set<Publish>();
  #dirty: Peer[] = [];
  /** Who has been sent something since `begin`. */
  #touched: Set<Peer> | undefined;

  /** Publishers that wait. */
  get size(): number {
    return this.#publishes.size;
  }

  get isCollecting(): boolean {
    return this.#touched !== undefined;
  }

  /** What is sent from now until `end` is to be confirmed. */
  begin(): void {
    this.#touched = new Set();
  }

  /** Something has been sent to a process of ours. */
  sent(kind: Destination["kind"], id: string): void {
    if (this.#touched === undefined) return;
    const key = `${kind} ${id}`;
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      peer = new Peer({ kind, id });
      this.#peers.set(key, peer);
    }
    this.#touched.add(peer);
  }

  /**
   * Calls `done` when all have confirmed; at once if there are none. `keys`: the ids of what was
   * published.
   */
  end(keys: readonly string[], done: () => void, nowMs: number): void {
    const touched = this.#touched;
    this.#touched = undefined;
    const publish: Publish = { left: 0, dueMs: nowMs + CONFIRM_MAX_MS, done };
    const ids = keys.map((key) => encodeReport(key, touched?.size ?? 0));
    for (const peer of touched ?? []) {
      for (const id of ids) peer.ids.push(id);
      if (!peer.isDirty) {
        peer.isDirty = true;
        peer.number += 1;
        this.#dirty.push(peer);
      }
      if (peer.isSilent) continue;
      publish.left += 1;
      peer.waiting.push({ number: peer.number, publish });
    }
    if (publish.left > 0) this.#publishes.add(publish);
    else done();
  }

  /** There are questions, now or when those under way are answered. */
  get hasQuestions(): boolean {
    return this.#dirty.length > 0;
  }

  /** What is to be asked now, once a turn. */
  questions(): Question[] {
    const questions: Question[] = [];
    const later: Peer[] = [];
    for (const peer of this.#dirty) {
      if (!peer.isFree) {
        later.push(peer);
        continue;
      }
      const { to, number, ids } = peer;
      peer.isDirty = false;
      peer.asked = number;
      if (ids.length > 0) peer.ids = [];
      questions.push({ to, number, ids });
    }
    this.#dirty = later;
    return questions;
  }

  /** `id` has got everything up to its question `number`. */
  confirmed(kind: Destination["kind"], id: string, number: number): void {
    const peer = this.#peers.get(`${kind} ${id}`);
    if (peer === undefined) return;
    peer.isSilent = false;
    peer.confirmed = Math.max(peer.confirmed, number);
    this.#answer(peer, number);
  }

  /** It will not confirm any more: nobody waits for it. */
  gone(id: string): void {
    for (const [key, peer] of this.#peers) {
      if (peer.to.id !== id) continue;
      this.#answer(peer, Number.POSITIVE_INFINITY);
      this.#peers.delete(key);
      this.#dirty = this.#dirty.filter((one) => one !== peer);
    }
  }

  /** Whoever has waited for too long is answered. */
  expire(nowMs: number): void {
    if (this.#publishes.size === 0) return;
    const late = new Set<Publish>();
    for (const publish of this.#publishes) {
      if (publish.dueMs > nowMs) break;
      late.add(publish); // Limit: CONFIRM_MAX_MS
    }
    if (late.size === 0) return;
    for (const peer of this.#peers.values()) {
      if (!peer.waiting.some(({ publish }) => late.has(publish))) continue;
      peer.isSilent = true;
      this.#answer(peer, Number.POSITIVE_INFINITY);
    }
  }

  #answer(peer: Peer, number: number): void {
    const { waiting } = peer;
    let done = 0;
    while (done < waiting.length && (waiting[done] as Asked).number <= number) done += 1;
    if (done === 0) return;
    for (const { publish } of waiting.splice(0, done)) {
      publish.left -= 1;
      if (publish.left > 0) continue;
      this.#publishes.delete(publish);
      publish.done();
    }
  }
}
