export type Part = string | Buffer;

/**
 * Joins what gathered for one client in a turn. Clients that got the same parts one after another,
 * as the subscribers of a channel do, share the joined bytes.
 */
export class OutputJoin {
  #parts: readonly Part[] = [];
  #joined: Part = "";

  join(parts: readonly Part[]): Part {
    if (parts.length === 1) return parts[0] as Part;
    if (!sameParts(parts, this.#parts)) {
      this.#parts = parts;
      this.#joined = concat(parts);
    }
    return this.#joined;
  }

  /** Keeps nothing alive between turns. */
  forget(): void {
    this.#parts = [];
    this.#joined = "";
  }
}

/** A part from this on is not joined to others: they are written as they are, in one call. Unit: bytes. */
const LARGE_MIN_BYTES = 16_384;

/** Whether there is a part whose copying would cost more than a write in several parts. */
export function hasLarge(parts: readonly Part[]): boolean {
  return parts.some((one) => one.length >= LARGE_MIN_BYTES && typeof one !== "string");
}

function sameParts(a: readonly Part[], b: readonly Part[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return false;
  return true;
}

function concat(parts: readonly Part[]): Part {
  if (parts.every((one) => typeof one === "string")) return Buffer.from(parts.join(""), "latin1");
  return Buffer.concat(
    parts.map((one) => (typeof one === "string" ? Buffer.from(one, "latin1") : one)),
  );
}
