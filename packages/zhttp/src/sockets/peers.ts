/**
 * An initiator of ours also subscribes to this topic with its id behind it. Nobody publishes there:
 * an XPUB sees the subscription and so learns, before the first packet, that `B` frames are taken.
 */
export const BATCH_TOPIC = "batch ";

/**
 * In `ext` of `takeover`, which a responder of ours sends to every initiator of ours, and of the answer to it: who
 * says so takes large bodies as parts of their own.
 */
export const PARTS_KEY = "parts";

/** Where the frame stands in what a ROUTER received: behind sender and empty part, and in front of bodies. */
export function frameIndex(frames: readonly Uint8Array[]): number {
  return frames.length > 3 && frames[1]?.length === 0 ? 2 : frames.length - 1;
}

/** Limit: instance ids remembered as taking `B` frames, and bodies as parts; the oldest is forgotten, and gets what it got before. */
const BATCH_PEERS_MAX = 256;

/** Which peers announced that they take something: `B` frames, bodies as parts. */
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
