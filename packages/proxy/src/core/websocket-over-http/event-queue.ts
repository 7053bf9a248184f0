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
/** What a client may have under way that the backend has not accepted. Unit: bytes. */
export const WINDOW_BYTES = 200_000;
/** Limit: content that waits for the backend, of a client that goes beyond its window. Unit: bytes. */
export const QUEUE_MAX_BYTES = 2_000_000;
/** Limit: events that wait for the backend; empty ones are in no window. */
export const QUEUED_EVENTS_MAX = 10_000;

/** Messages of the client on their way to the backend, as far as it has not accepted them. */
export class EventQueue {
  /** Content bytes of complete messages. */
  bytes = 0;
  #queue: Queued[] = [];
  #partial: { readonly type: QueuedType; readonly pieces: Bytes[]; bytes: number } | undefined;
  /** Messages at the head that were sent and not accepted. */
  #replayed = 0;
  /** Content bytes of those. */
  replayedBytes = 0;
  /** Messages of the request under way. */
  #sent = 0;
  sentBytes = 0;
  /** The request under way held everything that was queued when it began. */
  #isWhole = true;

  /** False if this is more than the client may send. */
  add(type: QueuedType, body: Bytes, more: boolean): boolean {
    this.#partial ??= { type, pieces: [], bytes: 0 };
    const partial = this.#partial;
    if (body.length > 0) partial.pieces.push(body);
    partial.bytes += body.length;
    if (partial.bytes > MESSAGE_MAX_BYTES) return false; // Limit: MESSAGE_MAX_BYTES
    if (more) return true;
    this.#partial = undefined;
    return this.#push(partial.type, concatBytes(partial.pieces));
  }

  addControl(type: "PING" | "PONG", body: Bytes): boolean {
    return this.#push(type, body);
  }

  /** A message that will never be complete. */
  dropPartial(): void {
    this.#partial = undefined;
  }

  /** A message has begun that cannot end: what was not accepted leaves no room for the rest. */
  get isStuck(): boolean {
    return this.#partial !== undefined && this.bytes + this.#partial.bytes >= WINDOW_BYTES;
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
    this.#isWhole = this.isAllSent;
    return events;
  }

  /** Takes what was accepted off the queue; false if the backend's count makes no sense. */
  accept(acceptedBytes: number): boolean {
    if (acceptedBytes > this.sentBytes) return false;
    let left = acceptedBytes;
    let removed = 0;
    while (removed < this.#sent) {
      const head = this.#queue[removed] as Queued;
      if (head.content.length > left) {
        if (left > 0) head.content = sliceBytes(head.content, left);
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
    return this.#isWhole || removed > 0 || acceptedBytes > 0;
  }

  #push(type: QueuedType, content: Bytes): boolean {
    this.#queue.push({ type, content });
    this.bytes += content.length;
    // Limit: QUEUED_EVENTS_MAX, QUEUE_MAX_BYTES
    return this.#queue.length <= QUEUED_EVENTS_MAX && this.bytes <= QUEUE_MAX_BYTES;
  }
}
