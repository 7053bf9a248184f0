/** Limit: interim responses before the one that counts. */
export const INTERIM_MAX = 16;
/** Limit: one interim response. Unit: bytes. */
export const INTERIM_MAX_BYTES = 16_384;

/** `HTTP/1.x 1`: what tells an interim response. */
const DECIDING_BYTES = 10;

export type Filtered = Buffer | "wait" | "too-many";

/**
 * Takes 1xx responses out of what a backend sends ahead of its response: nobody here has asked for
 * them. 101 stays, it ends what HTTP is spoken on the connection.
 */
export class InterimFilter {
  #armed = false;
  #held: Buffer | undefined;
  #count = 0;

  /** A request goes out: a response head is what comes next. */
  arm(): void {
    this.#armed = true;
    this.#held = undefined;
    this.#count = 0;
  }

  /** What of the bytes is for the parser; `wait` until more has come. */
  take(bytes: Buffer): Filtered {
    if (!this.#armed) return bytes;
    let rest = this.#held === undefined ? bytes : Buffer.concat([this.#held, bytes]);
    this.#held = undefined;
    for (;;) {
      if (!couldBeInterim(rest)) {
        this.#armed = false;
        return rest;
      }
      const end = rest.length < DECIDING_BYTES + 2 ? -1 : rest.indexOf("\r\n\r\n", 0, "latin1");
      if (end < 0) {
        if (rest.length > INTERIM_MAX_BYTES) return "too-many"; // Limit: INTERIM_MAX_BYTES
        this.#held = rest;
        return "wait";
      }
      this.#count += 1;
      if (this.#count > INTERIM_MAX) return "too-many"; // Limit: INTERIM_MAX
      rest = rest.subarray(end + 4);
      if (rest.length === 0) return "wait";
    }
  }
}

const PREFIX = "HTTP/1.";
const ONE = 0x31;
const ZERO = 0x30;

/** Whether these first bytes may still turn out to be a 1xx head other than 101. */
function couldBeInterim(bytes: Buffer): boolean {
  // Most responses are told by this one byte.
  if (bytes.length >= DECIDING_BYTES && bytes[9] !== ONE) return false;
  const start = bytes.toString("latin1", 0, Math.min(bytes.length, PREFIX.length));
  if (!PREFIX.startsWith(start)) return false;
  if (bytes.length > 8 && bytes[8] !== 0x20) return false;
  return !(bytes.length >= DECIDING_BYTES + 2 && bytes[10] === ZERO && bytes[11] === ONE);
}
