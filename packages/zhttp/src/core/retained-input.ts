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

interface Entry {
  readonly bytes: number;
  /** Undefined for what is credited but not kept: pings. */
  readonly piece: Piece | undefined;
}

/**
 * Messages that were sent and not yet credited: they are sent again to the successor of a peer that
 * died. Whole messages only, so that no successor gets the end of one alone. Exists only while
 * something is on the way.
 */
export class RetainedInput {
  #entries: Entry[] = [];
  #bytes = 0;
  /** Credited bytes that do not yet cover what is in front; negative for what was thrown away. */
  #credited = 0;
  /** The start of the last message was thrown away; so is the rest of it. */
  #isCut = false;

  /** What is kept takes as many. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Nothing is kept, and nothing has to be remembered. */
  get isEmpty(): boolean {
    return this.#entries.length === 0 && !this.#isCut;
  }

  add({ contentType, body, more }: Piece): void {
    if (this.#isCut) {
      this.#credited -= body.length;
      this.#isCut = more;
      return;
    }
    this.#push({ bytes: body.length, piece: { contentType, body, more } });
    while (this.#bytes > RETAINED_MAX_BYTES) this.#dropFront(); // Limit: RETAINED_MAX_BYTES
  }

  /** Bytes were sent that are credited, and not kept: pings. */
  skip(bytes: number): void {
    if (this.isEmpty) return;
    this.#push({ bytes, piece: undefined });
  }

  /** The peer has taken `bytes` more. */
  credited(bytes: number): void {
    this.#credited += bytes;
    for (let end = this.#frontEnd(); end > 0; end = this.#frontEnd()) {
      const length = this.#lengthOf(end);
      if (length > this.#credited) return;
      this.#credited -= length;
      this.#drop(end, length);
    }
  }

  /** Everything, in order; nothing is left. */
  take(): readonly Piece[] {
    const pieces = this.#entries.flatMap((one) => one.piece ?? []);
    this.#entries = [];
    this.#bytes = 0;
    this.#credited = 0;
    return pieces;
  }

  #push(entry: Entry): void {
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
  }

  /** How many entries the message, or ping, in front has; 0 while its end is missing. */
  #frontEnd(): number {
    for (const [i, { piece }] of this.#entries.entries()) {
      // A ping may stand between the pieces of a message.
      const isEnd = piece === undefined ? i === 0 : !piece.more;
      if (isEnd) return i + 1;
    }
    return 0;
  }

  #lengthOf(end: number): number {
    let length = 0;
    for (let i = 0; i < end; i += 1) length += (this.#entries[i] as Entry).bytes;
    return length;
  }

  #drop(end: number, length: number): void {
    this.#entries.splice(0, end);
    this.#bytes -= length;
  }

  /** Gives up the oldest message, or as much of it as is here. */
  #dropFront(): void {
    const end = this.#frontEnd() || this.#entries.length;
    this.#isCut = this.#frontEnd() === 0;
    const length = this.#lengthOf(end);
    this.#credited -= length;
    this.#drop(end, length);
  }
}
