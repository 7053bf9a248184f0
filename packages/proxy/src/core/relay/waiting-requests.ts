import type { Packet } from "@pushpin/zhttp";

/** Limit: requests that wait for their turn when `max_open_requests` is reached; then intake stops. */
export const WAITING_REQUESTS_MAX = 1000;

/** A request of which nothing but its first packet has come. */
export interface WaitingRequest {
  readonly packet: Packet;
  /** The handler's own. */
  readonly isInternal: boolean;
}

/** Requests that wait for their turn while as many as may be are open. */
export class WaitingRequests {
  readonly #queue: WaitingRequest[] = [];

  get size(): number {
    return this.#queue.length;
  }

  /** No more are to be taken in. */
  get isFull(): boolean {
    return this.#queue.length >= WAITING_REQUESTS_MAX; // Limit: WAITING_REQUESTS_MAX
  }

  /** More may be taken in again. */
  get hasRoom(): boolean {
    return this.#queue.length <= WAITING_REQUESTS_MAX / 2;
  }

  /** Those of clients go before those of the handler. */
  add(request: WaitingRequest): void {
    const at = this.#queue.findIndex((one) => one.isInternal);
    if (request.isInternal || at < 0) this.#queue.push(request);
    else this.#queue.splice(at, 0, request);
  }

  takeFirst(): WaitingRequest | undefined {
    return this.#queue.shift();
  }

  /** Whoever sent it has given it up; true if it was here. */
  remove(from: string, id: string): boolean {
    const at = this.#queue.findIndex(({ packet }) => packet.id === id && packet.from === from);
    if (at < 0) return false;
    this.#queue.splice(at, 1);
    return true;
  }
}
