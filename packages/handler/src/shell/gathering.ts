/** Limit: time a handler waits for what the one before it has left; then it takes messages. Unit: ms. */
export const GATHERING_MAX_MS = 10_000;
/** Connections to those who might have something take this long at most to come about. */
const PEERS_MS = 300;
const LOOK_MS = 5;

/**
 * Whom a handler that starts waits for before it takes messages: connection managers and proxies
 * that hand it the clients of the handler before it. Otherwise the first messages would find nobody.
 */
export class Gathering {
  readonly #awaited = new Set<string>();
  #isAnyoneThere = false;

  expect(peer: string): void {
    this.#isAnyoneThere = true;
    this.#awaited.add(peer);
  }

  /** Everything of this peer has come. */
  complete(peer: string): void {
    this.#isAnyoneThere = true;
    this.#awaited.delete(peer);
  }

  async isOver(): Promise<void> {
    const startMs = performance.now();
    for (;;) {
      const passedMs = performance.now() - startMs;
      if (this.#awaited.size === 0 && (this.#isAnyoneThere || passedMs > PEERS_MS)) return;
      if (passedMs > GATHERING_MAX_MS) return; // Limit: GATHERING_MAX_MS
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
}
