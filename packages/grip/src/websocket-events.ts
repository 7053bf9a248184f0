import {
  type Bytes,
  ByteWriter,
  fail,
  ok,
  type Result,
  sliceBytes,
  toBuffer,
  toByteString,
} from "@pushpin/tnetstrings";

/**
 * One event of `application/websocket-events` (proxy.md 5B.2): `OPEN`, `TEXT`, `BINARY`, `PING`,
 * `PONG`, `CLOSE`, `DISCONNECT`; others are read and can be ignored.
 */
export interface WebSocketEvent {
  readonly type: string;
  /** Absent: a line of its own. TEXT and BINARY always have content, also an empty one. */
  readonly content?: Bytes;
}

/** Limit: events of one body. */
export const EVENTS_MAX = 1_000_000;
const TYPE_MAX_BYTES = 64;

/** `TYPE CRLF` or `TYPE SP hex-length CRLF content CRLF`, one after the other. */
export function encodeWebSocketEvents(events: readonly WebSocketEvent[]): Buffer {
  const writer = new ByteWriter();
  for (const { type, content } of events) {
    if (content === undefined) {
      writer.add(`${type}\r\n`);
      continue;
    }
    writer.add(`${type} ${content.length.toString(16)}\r\n`);
    writer.add(content);
    writer.add("\r\n");
  }
  return writer.take();
}

/** Reads a whole body. Content of large bodies is views into it. Never throws. */
export function decodeWebSocketEvents(body: Bytes): Result<WebSocketEvent[]> {
  const events: WebSocketEvent[] = [];
  const buffer = typeof body === "string" ? undefined : toBuffer(body);
  let at = 0;
  while (at < body.length) {
    const end =
      buffer === undefined ? (body as string).indexOf("\r\n", at) : buffer.indexOf("\r\n", at);
    if (end < 0) return fail(`line without an end at byte ${at}`);
    const line = toByteString(sliceBytes(body, at, Math.min(end, at + TYPE_MAX_BYTES)));
    const space = line.indexOf(" ");
    if (end - at > TYPE_MAX_BYTES) return fail(`line too long at byte ${at}`);
    // Limit: EVENTS_MAX
    if (events.length >= EVENTS_MAX) return fail("too many events");
    if (space < 0) {
      events.push({ type: line });
      at = end + 2;
      continue;
    }
    const hex = line.slice(space + 1);
    if (!/^[0-9a-fA-F]{1,16}$/.test(hex)) return fail(`bad length at byte ${at}`);
    const from = end + 2;
    // Content shorter than declared is taken as it is, and the line break after it is not checked.
    const to = Math.min(from + Number.parseInt(hex, 16), body.length);
    events.push({
      type: line.slice(0, space),
      content: sliceBytes(body, from, to),
    });
    at = to + 2;
  }
  return ok(events);
}
