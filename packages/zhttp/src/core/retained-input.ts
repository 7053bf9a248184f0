import type { Bytes } from "@pushpin/tnetstrings";

/**
 * Limit: bytes of WebSocket messages kept for one session until they are credited. A session with
 * more on the way loses the beginning of it if its owner dies now.
 */
export const RETAINED_MAX_BYTES = 262_144;

export interface Piece {
  readonly contentType: string;
  readonly body: Bytes;
  readonly more: boolean;
}

/**
 * Messages that were sent and not yet credited: they are sent again to the successor of a peer that
 * died. Whole messages only, so that no successor gets the end of one alone. Exists only while
 * something is on the way.
 */
export class RetainedInput {
  #pieces: Piece[] = [];
  #bytes = 0;
  /** Credited bytes that do not yet cover the message in front. */
  #credited = 0;
  /** The start of the message in front was thrown away; so is the rest of it. */
  #isCut = false;

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(piece: Piece): void {
    this.#bytes += piece.body.length;
    if (this.#isCut) {
      this.#credited -= piece.body.length;
      this.#bytes -= piece.body.length;
      this.#isCut = piece.more;
      return;
    }
    const { contentType, body, more } = piece;
    this.#pieces.push({ contentType, body, more });
    while (this.#bytes > RETAINED_MAX_BYTES) this.#dropMessage(); // Limit: RETAINED_MAX_BYTES
  }

  /** Bytes were sent that are credited, and not kept: pings. */
  skip(bytes: number): void {
    this.#credited -= bytes;
  }

  /** The peer has taken `bytes` more. */
  credited(bytes: number): void {
    this.#credited += bytes;
    while (this.#pieces.length > 0) {
      const length = this.#messageLength();
      if (length === undefined || length > this.#credited) return;
      this.#credited -= length;
      this.#dropFront(length);
    }
    // Credits are also given for pings, which are not kept.
    this.#credited = Math.min(this.#credited, 0);
  }

  /** Everything, in order; nothing is left. */
  take(): readonly Piece[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#bytes = 0;
    this.#credited = 0;
    return pieces;
  }

  /** Bytes of the message in front; undefined while its end is missing. */
  #messageLength(): number | undefined {
    let length = 0;
    for (const piece of this.#pieces) {
      length += piece.body.length;
      if (!piece.more) return length;
    }
    return undefined;
  }

  #dropFront(length: number): void {
    this.#bytes -= length;
    const end = this.#pieces.findIndex((piece) => !piece.more);
    this.#pieces.splice(0, end + 1);
  }

  #dropMessage(): void {
    const length = this.#messageLength();
    if (length !== undefined) {
      this.#credited -= length;
      this.#dropFront(length);
      return;
    }
    this.#credited -= this.#bytes;
    this.#pieces = [];
    this.#bytes = 0;
    this.#isCut = true;
  }
}
