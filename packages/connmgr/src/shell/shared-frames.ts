import { toBuffer } from "@pushpin/tnetstrings";
import { DEFLATE_MAX_BYTES, DEFLATE_MIN_BYTES, deflatePiece, encodeFrame, type OPCODE } from "@pushpin/websocket";
import type { Part } from "../core/output.ts";
import type { ResponsePlan } from "../core/response-plan.ts";

type DataOpcode = typeof OPCODE.continuation | typeof OPCODE.text | typeof OPCODE.binary;

/** The head of a response for all clients that get it in one way. */
export interface SharedHead {
  readonly text: string;
  readonly plan: ResponsePlan;
}

/** What the receivers of one id-list packet share: bytes framed and packed once. */
export class SharedFrames {
  readonly #heads: (SharedHead | undefined)[] = [];
  #body: Part | undefined;
  #chunk: string | Buffer | undefined;
  readonly #frames: (Buffer | undefined)[] = [];
  #packed: Buffer | undefined;

  /** `key` is a small number for all that makes heads of one response differ. */
  head(key: number, make: () => SharedHead | undefined): SharedHead | undefined {
    const known = this.#heads[key];
    if (known !== undefined) return known;
    const head = make();
    this.#heads[key] = head;
    return head;
  }

  body(body: string | Uint8Array): Part {
    this.#body ??= typeof body === "string" ? body : toBuffer(body);
    return this.#body;
  }

  chunk(body: string | Uint8Array): string | Buffer {
    this.#chunk ??= frameChunk(body);
    return this.#chunk;
  }

  frame(opcode: DataOpcode, body: string | Uint8Array, fin: boolean, packs: boolean): Buffer {
    const key = opcode * 2 + (packs ? 1 : 0);
    let frame = this.#frames[key];
    if (frame === undefined) {
      if (packs) {
        this.#packed ??= deflatePiece(body, fin);
        frame = encodeFrame(opcode, this.#packed, fin, opcode !== 0);
      } else frame = encodeFrame(opcode, body, fin);
      this.#frames[key] = frame;
    }
    return frame;
  }
}

/** A data frame for one client. */
export function dataFrame(
  opcode: DataOpcode,
  body: string | Uint8Array,
  fin: boolean,
  packs: boolean,
): Buffer {
  return packs
    ? encodeFrame(opcode, deflatePiece(body, fin), fin, opcode !== 0)
    : encodeFrame(opcode, body, fin);
}

/** Whether a message that begins with this packet goes out packed. */
export function isPackable(body: string | Uint8Array, more: boolean): boolean {
  if (!more && body.length < DEFLATE_MIN_BYTES) return false; // Limit: DEFLATE_MIN_BYTES
  return body.length <= DEFLATE_MAX_BYTES; // Limit: DEFLATE_MAX_BYTES
}

export function frameChunk(body: string | Uint8Array): string | Buffer {
  const size = `${body.length.toString(16)}\r\n`;
  if (typeof body === "string") return `${size}${body}\r\n`;
  return Buffer.concat([Buffer.from(size, "latin1"), body, Buffer.from("\r\n", "latin1")]);
}
