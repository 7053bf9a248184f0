import { Readable } from "node:stream";
import { type Bytes, toBuffer } from "@pushpin/tnetstrings";

/** Upload bytes read ahead of the connection. */
const READ_AHEAD_BYTES = 65_536;

/**
 * The body of a request that comes in pieces. What the connection takes out of it is reported by
 * `onTaken`: so a slow backend slows the client.
 */
export class UploadBody extends Readable {
  isComplete = false;
  readonly #onTaken: (bytes: number) => void;
  /** Bytes that have come, and those of them that the connection has taken. */
  #arrived: number;
  #taken: number;

  /** `first` came uncredited, with the first packet. */
  constructor(first: Bytes, onTaken: (bytes: number) => void) {
    super({ highWaterMark: READ_AHEAD_BYTES });
    this.#onTaken = onTaken;
    this.#arrived = first.length;
    this.#taken = first.length;
    if (first.length > 0) this.push(toBuffer(first));
  }

  add(piece: Bytes, more: boolean): void {
    if (this.isComplete || this.destroyed) return;
    if (piece.length > 0) {
      this.#arrived += piece.length;
      this.push(toBuffer(piece));
      this.#report();
    }
    if (more) return;
    this.isComplete = true;
    this.push(null);
  }

  override _read(): void {}

  // `_read` is called before the bytes are taken, and not again until there are more.
  override read(size?: number): unknown {
    const piece: unknown = super.read(size);
    if (piece !== null) this.#report();
    return piece;
  }

  #report(): void {
    const taken = Math.max(this.#arrived - this.readableLength, this.#taken);
    const bytes = taken - this.#taken;
    if (bytes === 0 || this.destroyed) return;
    this.#taken = taken;
    this.#onTaken(bytes);
  }
}
