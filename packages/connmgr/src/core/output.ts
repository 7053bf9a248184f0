export type Part = string | Buffer;

/** A part from this on is not joined to others: they are written as they are, in one call. Unit: bytes. */
const LARGE_MIN_BYTES = 16_384;

/** What gathers for one client until it is written to: nothing (""), one part, or several. */
export type Output = Part | Joint;

/**
 * Parts that follow each other. Clients that get the same parts in the same order, as the subscribers of a channel
 * do, have the same joint: it is made once, and so are its bytes.
 */
export class Joint {
  readonly #before: Output;
  readonly last: Part;
  #next: Joint | undefined;
  #pieces: readonly Part[] | undefined;

  constructor(before: Output, last: Part) {
    this.#before = before;
    this.last = last;
  }

  after(part: Part): Joint {
    if (this.#next?.last !== part) this.#next = new Joint(this, part);
    return this.#next;
  }

  /** What to write: all in one, or as it is where a part is large. */
  pieces(): readonly Part[] {
    this.#pieces ??= joined(this.#parts());
    return this.#pieces;
  }

  #parts(): Part[] {
    const parts: Part[] = [];
    let at: Output = this;
    while (at instanceof Joint) {
      parts.push(at.last);
      at = at.#before;
    }
    parts.push(at);
    return parts.reverse();
  }
}

/** Makes the joints of all clients. */
export class OutputJoin {
  #before: Part = "";
  #first: Joint | undefined;

  /** `part` behind what has gathered. */
  add(output: Output, part: Part): Output {
    if (output instanceof Joint) return output.after(part);
    if (output === "") return part;
    if (this.#first === undefined || this.#before !== output || this.#first.last !== part) {
      this.#before = output;
      this.#first = new Joint(output, part);
    }
    return this.#first;
  }

  /** Keeps nothing alive between turns. */
  forget(): void {
    this.#before = "";
    this.#first = undefined;
  }
}

function joined(parts: readonly Part[]): readonly Part[] {
  if (parts.some(isLarge)) return parts;
  if (parts.every((one) => typeof one === "string"))
    return [Buffer.from(parts.join(""), "latin1")];
  const buffers = parts.map((one) => (typeof one === "string" ? Buffer.from(one, "latin1") : one));
  return [Buffer.concat(buffers)];
}

/** Whether copying it would cost more than a write of several parts. */
function isLarge(part: Part): boolean {
  return part.length >= LARGE_MIN_BYTES && typeof part !== "string";
}
