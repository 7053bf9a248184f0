/**
 * Limit: clients of a fan-out that are written to in one turn of the event loop. What comes for the others
 * until their turn leaves with it, so the more is waiting, the fewer writes a message takes.
 */
export const FAN_OUT_WRITES_MAX = 256;

/**
 * Who is to be written to, in which order: clients with something of their own (a response, a pong) in this turn,
 * those of a fan-out some in each, in the order in which they came.
 */
export class WriteQueue<T> {
  readonly #write: (item: T) => void;
  #own: T[] = [];
  #fanOut: T[] = [];
  /** Those before it are written. */
  #at = 0;

  constructor(write: (item: T) => void) {
    this.#write = write;
  }

  add(item: T): void {
    this.#own.push(item);
  }

  addFanOut(item: T): void {
    this.#fanOut.push(item);
  }

  flushOwn(): void {
    const own = this.#own;
    this.#own = [];
    for (const item of own) this.#write(item);
  }

  /** The share of one turn; false if some are left. */
  flushFanOut(): boolean {
    const queue = this.#fanOut;
    const end = Math.min(queue.length, this.#at + FAN_OUT_WRITES_MAX); // Limit: FAN_OUT_WRITES_MAX
    for (let at = this.#at; at < end; at += 1) this.#write(queue[at] as T);
    // Moved down when half is written, so that moving costs the same for each, however long the queue.
    const isHalf = end * 2 > queue.length;
    if (isHalf) this.#fanOut = queue.slice(end);
    this.#at = isHalf ? 0 : end;
    return this.#fanOut.length === 0;
  }
}
