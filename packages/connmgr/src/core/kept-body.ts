import { PREFETCH_BYTES } from "@pushpin/zhttp";

/**
 * Limit: bytes of a request's body kept until it is answered, to send it once more if its proxy dies; a
 * request with a longer one gets 502 then. Unit: bytes.
 */
export const BODY_KEPT_MAX_BYTES = 262_144;
/** Limit: bytes of all bodies kept at a time; what comes then is not kept. Unit: bytes. */
export const BODIES_KEPT_MAX_BYTES = 67_108_864;

/** What all kept bodies of a process take. */
export interface KeptTotal {
  keptBytes: number;
}

/**
 * The body of a request that was not complete when its head was sent, as far as it has come: its proxy
 * may die before it answers. Where the method cannot be repeated, the request can begin anew only
 * as long as no backend can have seen it.
 */
export class KeptBody {
  isComplete = false;
  readonly #total: KeptTotal;
  readonly #isIdempotent: boolean;
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(total: KeptTotal, isIdempotent: boolean) {
    this.#total = total;
    this.#isIdempotent = isIdempotent;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get pieces(): readonly Buffer[] {
    return this.#pieces;
  }

  /** False: there is no room for it, and nothing is kept any more. */
  add(piece: Buffer, more: boolean): boolean {
    this.isComplete = !more;
    if (piece.length === 0) return true;
    if (
      this.#bytes + piece.length > BODY_KEPT_MAX_BYTES || // Limit: BODY_KEPT_MAX_BYTES
      this.#total.keptBytes + piece.length > BODIES_KEPT_MAX_BYTES // Limit: BODIES_KEPT_MAX_BYTES
    ) {
      this.release();
      return false;
    }
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    this.#total.keptBytes += piece.length;
    return true;
  }

  /**
   * Whether the request may begin anew after `sentBytes` of the body have gone to a proxy, or all of it.
   * Once it may not, it never may again.
   */
  mayRepeat(sentBytes: number, isAllSent: boolean): boolean {
    return this.#isIdempotent || (sentBytes < PREFETCH_BYTES && !isAllSent);
  }

  release(): void {
    this.#total.keptBytes -= this.#bytes;
    this.#bytes = 0;
    this.#pieces = [];
  }
}
