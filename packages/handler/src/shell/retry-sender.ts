import type { Logger } from "@pushpin/log";
import { encode } from "@pushpin/tnetstrings";
import type { ZmqSocket } from "@pushpin/zmq";
import { encodeRetryPacket, type RetryPacket } from "@pushpin/zrpc";

/** Limit: retries that wait for a proxy to come back; the oldest is dropped. */
export const WAITING_RETRIES_MAX = 10_000;
const EMPTY = Buffer.alloc(0);

/**
 * Gives clients back to the proxy they came from. Where that one is gone, they go to the proxy
 * heard of last, or wait for the next one.
 */
export class RetrySender {
  dropped = 0;
  readonly #log: Logger;
  readonly #socket: () => ZmqSocket;
  #newestProxy = "";
  readonly #gone = new Set<string>();
  #waiting: Buffer[] = [];

  constructor(log: Logger, socket: () => ZmqSocket) {
    this.#log = log;
    this.#socket = socket;
  }

  send(to: string, retry: RetryPacket): void {
    const frame = encode(encodeRetryPacket(retry));
    this.#sendFrame(to === "" || this.#gone.has(to) ? this.#newestProxy : to, frame);
  }

  /** A proxy has spoken to us. */
  heardOf(proxyId: string): void {
    if (proxyId === "" || proxyId === this.#newestProxy) return;
    this.#newestProxy = proxyId;
    this.#gone.delete(proxyId);
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const frame of waiting) this.#sendFrame(proxyId, frame);
  }

  /** Nobody has that id any more. */
  unroutable(frames: readonly Uint8Array[]): void {
    const [id, , frame] = frames;
    if (id === undefined || frame === undefined) return;
    const proxyId = Buffer.from(id).toString("latin1");
    if (this.#gone.size >= 1024) this.#gone.clear();
    this.#gone.add(proxyId);
    if (this.#newestProxy === proxyId) this.#newestProxy = "";
    this.#sendFrame(this.#newestProxy, Buffer.from(frame));
  }

  #sendFrame(to: string, frame: Buffer): void {
    if (to !== "") {
      this.#socket().send([Buffer.from(to, "latin1"), EMPTY, frame]);
      return;
    }
    this.#waiting.push(frame);
    // Limit: WAITING_RETRIES_MAX
    if (this.#waiting.length <= WAITING_RETRIES_MAX) return;
    this.#waiting.shift();
    this.dropped += 1;
    this.#log.warn("no proxy to give clients back to, retry dropped", {
      dropped: this.dropped,
    });
  }
}
