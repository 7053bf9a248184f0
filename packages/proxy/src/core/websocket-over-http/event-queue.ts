import type { WebSocketEvent } from "@pushpin/grip";
import { type Bytes, concatBytes, sliceBytes } from "@pushpin/tnetstrings";

export type QueuedType = "TEXT" | "BINARY" | "PING" | "PONG";

interface Queued {
  readonly type: QueuedType;
  content: Bytes;
}

/** Limit: content of one client message; it has to fit into one event. Unit: bytes. */
export const MESSAGE_MAX_BYTES = 199_999;
/** No event is added to a request that holds this much content already. Unit: bytes. */
export const REQUEST_CONTENT_BYTES = 200_000;

/** Messages of the client on their way to the backend, as far as it has not accepted them. */
export class EventQueue {
  /** Content bytes of complete messages. */
  bytes = 0;
  #queue: Queued[] = [];
  #partial: { type: QueuedType; pieces: Bytes[]; bytes: number } | undefined;
  /** Messages at the head that were sent and not accepted. */
  #replayed = 0;
  /** Content bytes of those. */
  replayedBytes = 0;
  /** Messages of the request under way. */
  #sent = 0;
  sentBytes = 0;

  /** False if the message is too large to be ever sent. */
  add(type: QueuedType, body: Bytes, more: boolean): boolean {
    this.#partial ??= { type, pieces: [], bytes: 0 };
    const partial = this.#partial;
    partial.pieces.push(body);
    partial.bytes += body.length;
    if (partial.bytes > MESSAGE_MAX_BYTES) return false; // Limit: MESSAGE_MAX_BYTES
    if (more) return true;
    this.#partial = undefined;
    this.#push(partial.type, partial.pieces.length === 1 ? body : concatBytes(partial.pieces));
    return true;
  }

  addControl(type: "PING" | "PONG", body: Bytes): void {
    this.#push(type, body);
  }

  /** A message that will never be complete. */
  dropPartial(): void {
    this.#partial = undefined;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  /** Whether there is more than what the backend has already seen. */
  get hasNew(): boolean {
    return this.#queue.length > this.#replayed;
  }

  /** Whether all that is queued is in the request under way. */
  get isAllSent(): boolean {
    return this.#sent === this.#queue.length;
  }

  /** Events of the next request, which count as sent. */
  take(maxEvents: number): WebSocketEvent[] {
    const events: WebSocketEvent[] = [];
    this.sentBytes = 0;
    for (const { type, content } of this.#queue) {
      if (events.length >= maxEvents || this.sentBytes >= REQUEST_CONTENT_BYTES) break;
      const isBare = content.length === 0 && (type === "PING" || type === "PONG");
      events.push(isBare ? { type } : { type, content });
      this.sentBytes += content.length;
    }
    this.#sent = events.length;
    return events;
  }

  /** Takes what was accepted off the queue; false if the backend's count makes no sense. */
  accept(acceptedBytes: number): boolean {
    if (acceptedBytes > this.sentBytes) return false;
    const isPartial = acceptedBytes < this.sentBytes;
    const wasAll = this.isAllSent;
    let left = acceptedBytes;
    let removed = 0;
    while (removed < this.#sent) {
      const head = this.#queue[removed] as Queued;
      if (isPartial && left === 0 && head.content.length > 0) break;
      if (head.content.length > left) {
        head.content = sliceBytes(head.content, left);
        left = 0;
        break;
      }
      left -= head.content.length;
      removed += 1;
    }
    this.#queue.splice(0, removed);
    this.bytes -= acceptedBytes;
    this.#replayed = this.#sent - removed;
    this.replayedBytes = this.sentBytes - acceptedBytes;
    this.#sent = 0;
    this.sentBytes = 0;
    // Nothing taken of a request that could not hold everything: it would go on like this for ever.
    return wasAll || removed > 0 || acceptedBytes > 0;
  }

  #push(type: QueuedType, content: Bytes): void {
    this.#queue.push({ type, content });
    this.bytes += content.length;
  }
}
