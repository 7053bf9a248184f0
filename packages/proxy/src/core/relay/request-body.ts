import { type Bytes, concatBytes } from "@pushpin/tnetstrings";

/** Limit: request body that is kept for the next target and for the handler. Unit: bytes. */
export const REQUEST_BODY_KEPT_MAX_BYTES = 100_000;

/** A request's body as far as it has come; kept as long as it is small enough to be sent again. */
export class RequestBody {
  bytes = 0;
  isComplete = false;
  #pieces: Bytes[] | undefined = [];

  add(piece: Bytes, more: boolean): void {
    this.isComplete = !more;
    if (piece.length === 0) return;
    this.bytes += piece.length;
    this.#pieces?.push(piece);
  }

  /** Whether all of it is still here. */
  get isKept(): boolean {
    return this.#pieces !== undefined;
  }

  /** What is here; empty if it was given up. */
  get content(): Bytes {
    const pieces = this.#pieces;
    if (pieces === undefined || pieces.length === 0) return "";
    return pieces.length === 1 ? (pieces[0] as Bytes) : concatBytes(pieces);
  }

  /** To be called once what is here was sent on; from then on a large body is not kept. */
  forgetIfLarge(): void {
    // Limit: REQUEST_BODY_KEPT_MAX_BYTES
    if (this.bytes > REQUEST_BODY_KEPT_MAX_BYTES) this.#pieces = undefined;
  }
}
