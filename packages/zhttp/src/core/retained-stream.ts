import { type Bytes, sliceBytes } from "@pushpin/tnetstrings";

/**
 * Limit: bytes of WebSocket messages kept to the byte for one session until they are credited; with more on
 * the way it does not survive the death of the process between.
 */
export const STREAM_RETAINED_MAX_BYTES = 262_144;
/**
 * Limit: pieces of WebSocket messages kept for one session, for empty ones are never credited; with
 * more on the way it does not survive the death of the process between.
 */
export const STREAM_RETAINED_MAX_PIECES = 4096;

/** A message or a fragment of one, a ping or a pong. */
export interface StreamPiece {
  readonly type: "data" | "ping" | "pong";
  readonly contentType: string;
  readonly body: Bytes;
  readonly more: boolean;
}

/**
 * How far a piece takes the position in its stream: each byte counts one, and so does each end of a
 * message, ping or pong; so empty ones have a place too.
 */
export function extentOf({ type, body, more }: Pick<StreamPiece, "type" | "body" | "more">): number {
  return body.length + (type === "data" && more ? 0 : 1);
}

/** What is left of a piece without the first `extent` of it; undefined: nothing. */
export function pieceAfter(piece: StreamPiece, extent: number): StreamPiece | undefined {
  if (extent <= 0) return piece;
  if (extent >= extentOf(piece)) return undefined;
  return { ...piece, body: sliceBytes(piece.body, extent) };
}

/**
 * What was sent on a WebSocket and not yet credited, to the byte: whoever comes after the receiver
 * goes on in the middle of a message. Exists only while something is on the way.
 */
export class RetainedStream {
  #pieces: StreamPiece[] = [];
  #bytes = 0;
  #start: number;
  #isMid: boolean;
  /** Up to here it was given up for the limits; 0: nothing was, or all of that is credited by now. */
  #lostUpTo = 0;
  /** Bytes given up and not credited yet. */
  #owed = 0;

  /** Messages are kept until all of them is credited: whoever comes next begins with a message. */
  readonly #isWhole: boolean;
  /** Whole messages: bytes credited of the one in front. */
  #ahead = 0;

  constructor(start: number, isMid: boolean, isWhole = false) {
    this.#start = start;
    this.#isMid = isMid;
    this.#isWhole = isWhole;
  }

  /** Position of the first thing that is kept. */
  get start(): number {
    return this.#start;
  }

  /** `start` is within a message. */
  get isMid(): boolean {
    return this.#isMid;
  }

  /** Something that was not credited was given up for the limits. */
  get hasGap(): boolean {
    return this.#lostUpTo > 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(piece: StreamPiece): void {
    this.#pieces.push(piece);
    this.#bytes += piece.body.length;
    while (
      this.#bytes > STREAM_RETAINED_MAX_BYTES || // Limit: STREAM_RETAINED_MAX_BYTES
      this.#pieces.length > STREAM_RETAINED_MAX_PIECES // Limit: STREAM_RETAINED_MAX_PIECES
    ) {
      const length = this.#pieces[0]?.body.length ?? 0;
      const paid = Math.min(this.#ahead, length);
      this.#ahead -= paid;
      this.#owed += length - paid;
      this.#dropFront();
      this.#lostUpTo = this.#start;
    }
  }

  /** The receiver has taken `bytes` more. */
  credited(bytes: number): void {
    const owed = Math.min(this.#owed, bytes);
    this.#owed -= owed;
    if (this.#owed === 0) this.#lostUpTo = 0;
    let left = bytes - owed;
    if (this.#isWhole) {
      this.#creditedWhole(left);
      return;
    }
    while (left > 0) {
      const piece = this.#pieces[0];
      if (piece === undefined) return;
      if (piece.body.length > left) {
        this.#trimFront(piece, left);
        return;
      }
      left -= piece.body.length;
      this.#dropFront();
    }
  }

  #creditedWhole(bytes: number): void {
    this.#ahead += bytes;
    for (let end = this.#frontEnd(); end > 0; end = this.#frontEnd()) {
      let length = 0;
      for (let i = 0; i < end; i += 1) length += (this.#pieces[i] as StreamPiece).body.length;
      if (length > this.#ahead) return;
      this.#ahead -= length;
      for (let i = 0; i < end; i += 1) this.#dropFront();
    }
  }

  /** How many pieces the message, or ping, in front has; 0 while its end is missing. */
  #frontEnd(): number {
    for (const [i, { type, more }] of this.#pieces.entries())
      if (type === "data" ? !more : i === 0) return i + 1;
    return 0;
  }

  /**
   * Everything from position `from` on, or from the first that is kept if that is later; nothing is
   * left here, and `start` is where it begins. Undefined if something of it was given up.
   */
  take(from: number): readonly StreamPiece[] | undefined {
    if (from < this.#lostUpTo) return undefined;
    for (let piece = this.#pieces[0]; piece !== undefined; piece = this.#pieces[0]) {
      const ahead = from - this.#start;
      if (ahead <= 0) break;
      if (ahead < extentOf(piece)) {
        this.#trimFront(piece, ahead);
        break;
      }
      this.#dropFront();
    }
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#bytes = 0;
    this.#ahead = 0;
    return pieces;
  }

  /** Nothing is kept, and nothing has to be remembered. */
  get isEmpty(): boolean {
    return this.#pieces.length === 0 && !this.#isMid && this.#owed === 0;
  }

  #dropFront(): void {
    const piece = this.#pieces.shift();
    if (piece === undefined) return;
    this.#bytes -= piece.body.length;
    this.#start += extentOf(piece);
    if (piece.type === "data") this.#isMid = piece.more;
  }

  #trimFront(piece: StreamPiece, bytes: number): void {
    this.#pieces[0] = { ...piece, body: sliceBytes(piece.body, bytes) };
    this.#bytes -= bytes;
    this.#start += bytes;
    this.#isMid ||= piece.type === "data";
  }
}
