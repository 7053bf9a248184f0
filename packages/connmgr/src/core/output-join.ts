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
