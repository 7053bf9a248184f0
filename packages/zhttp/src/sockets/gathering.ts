import { isSuccessor } from "../core/predecessors.ts";

/** Limit: time a process that starts waits for what the one before it has left; then it goes on without. Unit: ms. */
export const GATHERING_MAX_MS = 10_000;
/** Limit: time it waits for peers it does not see; whoever is not there by then has nothing for it. Unit: ms. */
export const PEERS_MAX_MS = 1000;
const LOOK_MS = 5;

/**
 * Whom a process that starts waits for before it opens its doors: those that hand it the clients of the
 * process before it. They come in any order, and the first may have handed over everything before the next is
 * seen; so it is known from the start how many there can be.
 */
export class Gathering {
  #places = 0;
  readonly #awaited = new Set<string>();
  readonly #done = new Set<string>();
  #isClosed = false;

  /** So many peers more can be there. */
  addPlaces(count: number): void {
    this.#places += count;
  }

  /** The peer hands over what it has; `complete` follows. */
  expect(peer: string): void {
    if (this.#isClosed) return;
    for (const one of [...this.#awaited, ...this.#done]) if (isSuccessor(peer, one)) this.gone(one);
    this.#awaited.add(peer);
  }

  /** Everything of this peer has come, or it has nothing. */
  complete(peer: string): void {
    if (this.#isClosed) return;
    this.#awaited.delete(peer);
    this.#done.add(peer);
  }

  /** The peer is gone, and with it what it had. */
  gone(peer: string): void {
    this.#awaited.delete(peer);
    this.#done.delete(peer);
  }

  /** Whether all has come that will, `passedMs` after everybody could be reached. */
  isOver(passedMs: number): boolean {
    if (passedMs > GATHERING_MAX_MS) return true; // Limit: GATHERING_MAX_MS
    if (this.#awaited.size > 0) return false;
    return this.#done.size >= this.#places || passedMs > PEERS_MAX_MS; // Limit: PEERS_MAX_MS
  }

  /** Resolves when it is over. */
  async over(): Promise<void> {
    const startMs = performance.now();
    while (!this.isOver(performance.now() - startMs))
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    this.#isClosed = true;
  }
}
