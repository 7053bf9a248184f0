import type { Logger } from "@pushpin/log";

/** A proxy that has just started is connected within this time; one that is not is gone. */
const CONNECT_MAX_MS = 2000;
const RETRY_MS = 10;
/** Limit: ws-control packets that wait for one proxy to be connected; the newest is dropped. */
const WAITING_MAX = 10_000;
/** Of the packets dropped, the first and then each of so many is logged. */
const LOGGED_EACH = 1000;

export interface ControlSenderOptions {
  /** What cannot be routed comes back by `unroutable`. */
  readonly send: (to: string, frame: Buffer) => void;
  readonly sendIfRoutable: (to: string, frame: Buffer) => Promise<boolean>;
  /** The proxy does not come. */
  readonly onGone: (proxy: string) => void;
  readonly log: Logger;
}

/**
 * Sends ws-control packets to proxies. One that has started anew is heard before the connection to
 * it stands: what is for it waits a moment, in order.
 */
export class ControlSender {
  readonly #options: ControlSenderOptions;
  readonly #waiting = new Map<string, Buffer[]>();
  #dropped = 0;
  #isClosed = false;

  constructor(options: ControlSenderOptions) {
    this.#options = options;
  }

  send(to: string, frame: Buffer): void {
    const waiting = this.#waiting.size === 0 ? undefined : this.#waiting.get(to);
    if (waiting === undefined) this.#options.send(to, frame);
    else this.#keep(waiting, to, frame);
  }

  /** The packet did not find its way. */
  unroutable(to: string, frame: Buffer): void {
    const waiting = this.#waiting.get(to);
    if (waiting !== undefined) {
      this.#keep(waiting, to, frame);
      return;
    }
    const frames = [frame];
    this.#waiting.set(to, frames);
    void this.#retry(to, frames);
  }

  close(): void {
    this.#isClosed = true;
    this.#waiting.clear();
  }

  #keep(waiting: Buffer[], to: string, frame: Buffer): void {
    // Limit: WAITING_MAX
    if (waiting.length < WAITING_MAX) {
      waiting.push(frame);
      return;
    }
    if (this.#dropped % LOGGED_EACH === 0)
      this.#options.log.warn("proxy is not connected, what is for it is dropped", {
        proxy: to,
        dropped: this.#dropped + 1,
      });
    this.#dropped += 1;
  }

  /** The first is tried until it is taken, and only then the others follow. */
  async #retry(to: string, frames: Buffer[]): Promise<void> {
    const endMs = performance.now() + CONNECT_MAX_MS;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      if (this.#isClosed) return;
      if (await this.#options.sendIfRoutable(to, frames[0] as Buffer)) break;
      if (performance.now() < endMs) continue;
      this.#waiting.delete(to);
      this.#options.onGone(to);
      return;
    }
    this.#waiting.delete(to);
    for (const frame of frames.slice(1)) this.#options.send(to, frame);
  }
}
