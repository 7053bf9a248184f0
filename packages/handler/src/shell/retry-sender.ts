import type { Logger } from "@pushpin/log";
import { encode } from "@pushpin/tnetstrings";
import type { ZmqSocket } from "@pushpin/zmq";
import { encodeRetryPacket, type RetryPacket } from "@pushpin/zrpc";

/** Limit: retries that wait for a proxy to come back; the oldest is dropped. */
export const WAITING_RETRIES_MAX = 10_000;
/** A proxy that has just started is heard before the connection to it stands: it is tried so often. */
const TRY_AGAIN_MS = 20;
const EMPTY = Buffer.alloc(0);

/**
 * Gives clients back to the proxy they came from. Where that one is gone, they go to the proxy
 * heard of last, or wait for the next one.
 */
export class RetrySender {
  dropped = 0;
  readonly #log: Logger;
  readonly #socket: () => Pick<ZmqSocket, "send" | "sendIfRoutable">;
  #newestProxy = "";
  readonly #gone = new Set<string>();
  #waiting: Buffer[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(log: Logger, socket: () => Pick<ZmqSocket, "send" | "sendIfRoutable">) {
    this.#log = log;
    this.#socket = socket;
  }

  send(to: string, retry: RetryPacket): void {
    const frame = encode(encodeRetryPacket(retry));
    if (to !== "" && !this.#gone.has(to)) this.#sendTo(to, frame);
    else if (this.#newestProxy !== "" && this.#waiting.length === 0) this.#sendTo(this.#newestProxy, frame);
    else this.#wait(frame);
  }

  /** A proxy has spoken to us. */
  heardOf(proxyId: string): void {
    if (proxyId === "" || proxyId === this.#newestProxy) return;
    this.#newestProxy = proxyId;
    this.#gone.delete(proxyId);
    void this.#sendWaiting();
  }

  /** Nobody has that id any more, or not yet. */
  unroutable(frames: readonly Uint8Array[]): void {
    const [id, , frame] = frames;
    if (id === undefined || frame === undefined) return;
    const proxyId = Buffer.from(id).toString("latin1");
    if (this.#gone.size >= 1024) this.#gone.clear();
    if (proxyId !== this.#newestProxy) this.#gone.add(proxyId);
    this.#wait(Buffer.from(frame));
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #sendTo(to: string, frame: Buffer): void {
    this.#socket().send([Buffer.from(to, "latin1"), EMPTY, frame]);
  }

  #wait(frame: Buffer): void {
    this.#waiting.push(frame);
    if (!this.#isClosed) this.#timer ??= setTimeout(() => void this.#sendWaiting(), TRY_AGAIN_MS);
    // Limit: WAITING_RETRIES_MAX
    if (this.#waiting.length <= WAITING_RETRIES_MAX) return;
    this.#waiting.shift();
    this.dropped += 1;
    this.#log.warn("no proxy to give clients back to, retry dropped", {
      dropped: this.dropped,
    });
  }

  /** The first is tried until it is taken, and only then the others follow. */
  async #sendWaiting(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const to = this.#newestProxy;
    const first = this.#waiting.shift();
    if (first === undefined) return;
    const isTaken =
      to !== "" && (await this.#socket().sendIfRoutable([Buffer.from(to, "latin1"), EMPTY, first]));
    if (!isTaken) {
      this.#waiting.unshift(first);
      if (!this.#isClosed) this.#timer ??= setTimeout(() => void this.#sendWaiting(), TRY_AGAIN_MS);
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const frame of waiting) this.#sendTo(to, frame);
  }
}
