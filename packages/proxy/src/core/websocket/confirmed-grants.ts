/** Limit: steps in which a backend gets its credits back; more are joined to the last. */
const GRANT_STEPS_MAX = 64;

/**
 * What a backend gets credits for, and when: as soon as the client's side has confirmed everything it
 * was sent by then. Until it has, the backend's side keeps it for the next proxy.
 */
export class ConfirmedGrants {
  readonly #ends: number[] = [];
  readonly #bytes: number[] = [];

  /** `bytes` of the backend are done with when the client's side has confirmed up to `end`. */
  add(end: number, bytes: number): void {
    const last = this.#ends.length - 1;
    // Limit: GRANT_STEPS_MAX
    if (last >= 0 && (this.#ends[last] === end || last + 1 >= GRANT_STEPS_MAX)) {
      this.#ends[last] = end;
      this.#bytes[last] = (this.#bytes[last] as number) + bytes;
      return;
    }
    this.#ends.push(end);
    this.#bytes.push(bytes);
  }

  /** The client's side has confirmed up to `position`: the bytes that are due. */
  take(position: number): number {
    let bytes = 0;
    let steps = 0;
    while (steps < this.#ends.length && (this.#ends[steps] as number) <= position) {
      bytes += this.#bytes[steps] as number;
      steps += 1;
    }
    if (steps > 0) {
      this.#ends.splice(0, steps);
      this.#bytes.splice(0, steps);
    }
    return bytes;
  }
}
