/**
 * Bytes as this code base carries them: a byte string (one char per byte, 0–255, "latin1"), which
 * the engine scans and joins fastest, or a view for large bodies that must not be copied.
 */
export type Bytes = string | Uint8Array;

/** Byte strings above this stay views into the received frame. Unit: bytes. */
export const VIEW_THRESHOLD_BYTES = 4096;

export function byteLength(bytes: Bytes): number {
  return bytes.length;
}

/** The same bytes as a Buffer; a view is shared, a byte string is copied. */
export function toBuffer(bytes: Bytes): Buffer {
  if (typeof bytes === "string") return Buffer.from(bytes, "latin1");
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The same bytes as a byte string. */
export function toByteString(bytes: Bytes): string {
  return typeof bytes === "string" ? bytes : toBuffer(bytes).toString("latin1");
}

/** Joins bytes in order; stays a byte string as long as no part is a view. */
export function concatBytes(parts: readonly Bytes[]): Bytes {
  if (parts.length === 1) return parts[0] ?? "";
  let text = "";
  for (const part of parts) {
    if (typeof part !== "string") return Buffer.concat(parts.map(toBuffer));
    text += part;
  }
  return text;
}

/** Bytes from `start` (inclusive) to `end` (exclusive); a view shares memory. */
export function sliceBytes(bytes: Bytes, start: number, end?: number): Bytes {
  return typeof bytes === "string"
    ? bytes.substring(start, end ?? bytes.length)
    : bytes.subarray(start, end);
}

export function equalBytes(a: Bytes, b: Bytes): boolean {
  if (a.length !== b.length) return false;
  return typeof a === "string" && typeof b === "string" ? a === b : toBuffer(a).equals(toBuffer(b));
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is exactly this range
const NOT_ASCII = /[^\x00-\x7f]/;

/** UTF-16 text as the byte string of its UTF-8 form. */
export function fromUtf8(text: string): string {
  return NOT_ASCII.test(text) ? Buffer.from(text, "utf8").toString("latin1") : text;
}

/** Bytes read as UTF-8; invalid sequences become U+FFFD. */
export function toUtf8(bytes: Bytes): string {
  if (typeof bytes !== "string") return toBuffer(bytes).toString("utf8");
  return NOT_ASCII.test(bytes) ? Buffer.from(bytes, "latin1").toString("utf8") : bytes;
}

/** Whether the bytes are well-formed UTF-8. */
export function isUtf8(bytes: Bytes): boolean {
  if (typeof bytes === "string" && !NOT_ASCII.test(bytes)) return true;
  try {
    strictDecoder.decode(toBuffer(bytes));
    return true;
  } catch {
    return false;
  }
}

const strictDecoder = new TextDecoder("utf-8", { fatal: true });

/**
 * A copy that shares no memory with the string it was cut from. V8 keeps the whole parent of a
 * substring alive, so what outlives its packet must be detached.
 */
export function detach(text: string): string {
  return text.length < 13 ? text : Buffer.from(text, "latin1").toString("latin1");
}

/** As `detach`, for bytes in either form. */
export function detached(bytes: Bytes): Bytes {
  return typeof bytes === "string" ? detach(bytes) : bytes;
}
