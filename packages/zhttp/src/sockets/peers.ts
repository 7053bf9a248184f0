/**
 * An initiator of ours also subscribes to this topic with its id behind it. Nobody publishes there:
 * an XPUB sees the subscription and so learns, before the first packet, that `B` frames are taken.
 */
export const BATCH_TOPIC = "batch ";

/** Limit: instance ids remembered as taking `B` frames; the oldest is forgotten, and gets `T` frames. */
const BATCH_PEERS_MAX = 256;

/** Which peers announced that they take `B` frames. */
export class BatchPeers {
  readonly #ids = new Set<string>();

  add(id: string): void {
    if (this.#ids.has(id) || id === "") return;
    if (this.#ids.size >= BATCH_PEERS_MAX) {
      const [oldest] = this.#ids;
      if (oldest !== undefined) this.#ids.delete(oldest);
    }
    this.#ids.add(Buffer.from(id, "latin1").toString("latin1"));
  }

  all(): Iterable<string> {
    return this.#ids;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }
}
