/** A proxy that has just started is connected within this time; one that is not is gone. */
const CONNECT_MAX_MS = 2000;
const RETRY_MS = 10;
/** Limit: ws-control packets that wait for one proxy to be connected; the newest is dropped. */
const WAITING_MAX = 10_000;

interface Waiting {
  frames: Buffer[];
  readonly sinceMs: number;
}

/**
 * Sends ws-control packets to proxies. One that has started anew is heard before the connection to
 * it stands: what is for it waits a moment, in order.
 */
export class ControlSender {
  readonly #send: (to: string, frame: Buffer) => void;
  readonly #onGone: (proxy: string) => void;
  readonly #waiting = new Map<string, Waiting>();
  #timer: NodeJS.Timeout | undefined;

  constructor(send: (to: string, frame: Buffer) => void, onGone: (proxy: string) => void) {
    this.#send = send;
    this.#onGone = onGone;
  }

  send(to: string, frame: Buffer): void {
    const waiting = this.#waiting.size === 0 ? undefined : this.#waiting.get(to);
    if (waiting === undefined) this.#send(to, frame);
    else if (waiting.frames.length < WAITING_MAX) waiting.frames.push(frame); // Limit: WAITING_MAX
  }

  /** The packet did not find its way. */
  unroutable(to: string, frame: Buffer): void {
    const waiting = this.#waiting.get(to);
    if (waiting === undefined)
      this.#waiting.set(to, { frames: [frame], sinceMs: performance.now() });
    else waiting.frames.push(frame);
    this.#timer ??= setTimeout(() => this.#retry(), RETRY_MS);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#waiting.clear();
  }

  #retry(): void {
    this.#timer = undefined;
    const nowMs = performance.now();
    for (const [to, waiting] of this.#waiting) {
      const { frames, sinceMs } = waiting;
      if (nowMs - sinceMs > CONNECT_MAX_MS) {
        this.#waiting.delete(to);
        this.#onGone(to);
        continue;
      }
      if (frames.length === 0) {
        this.#waiting.delete(to); // all have found their way
        continue;
      }
      waiting.frames = [];
      for (const frame of frames) this.#send(to, frame);
    }
    if (this.#waiting.size > 0) this.#timer = setTimeout(() => this.#retry(), RETRY_MS);
  }
}
