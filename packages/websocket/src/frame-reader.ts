import { isUtf8 } from "node:buffer";
import { ByteCollector } from "./byte-collector.ts";
import type { Inflater } from "./deflate.ts";
import { CONTROL_MAX_BYTES, OPCODE } from "./frames.ts";
import { isSendableCloseCode } from "./handshake.ts";
import { Utf8Checker } from "./utf8-checker.ts";

/** What arrives on a WebSocket, in order. */
export interface FrameHandlers {
  /** A piece of a message; pieces follow what arrives, not the peer's frames. `last` ends the message. */
  onData(piece: Buffer, isBinary: boolean, last: boolean): void;
  onPing(payload: Buffer): void;
  onPong(payload: Buffer): void;
  /** `code` undefined: a close without a code. */
  onClose(code: number | undefined, reason: Buffer): void;
  /** The peer broke the protocol; `code` is what it is closed with: 1002, 1007, 1009. */
  onError(code: number, message: string): void;
}

export interface FrameReaderOptions {
  /** A server reads masked frames, a client plain ones. */
  readonly isServer: boolean;
  /** Limit: bytes of one message; a larger one ends with 1009. */
  readonly messageMaxBytes: number;
  /** Present where permessage-deflate was agreed on. */
  readonly inflater?: Inflater;
}

/** A frame up to this is waited for; a longer one is passed on as it comes. */
const WHOLE_FRAME_MAX_BYTES = 4096;
const EMPTY = Buffer.alloc(0);

/**
 * Reads frames strictly by RFC 6455, section 5. Message bytes are handed on while they arrive,
 * so that a message of any size costs no memory here; control frames between fragments are
 * delivered where they stand. After a close or an error it reads nothing more.
 */
export class FrameReader {
  readonly #handlers: FrameHandlers;
  readonly #options: FrameReaderOptions;
  #pending: Buffer | undefined;
  #ended = false;
  /** The message under way: its opcode, 0 between messages. */
  #opcode = 0;
  #messageBytes = 0;
  #isCompressed = false;
  #packed: ByteCollector | undefined;
  #utf8: Utf8Checker | undefined;
  /** The long data frame under way. */
  #left = 0;
  #fin = false;
  #mask = 0;
  #maskAt = 0;

  constructor(options: FrameReaderOptions, handlers: FrameHandlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  /** Nothing more is wanted. */
  end(): void {
    this.#ended = true;
    this.#pending = undefined;
    this.#packed = undefined;
  }

  /** Bytes of the peer; they are unmasked in place. */
  receive(bytes: Buffer): void {
    if (this.#ended) return;
    let input = bytes;
    if (this.#pending !== undefined) {
      input = Buffer.concat([this.#pending, bytes]);
      this.#pending = undefined;
    }
    let at = 0;
    while (!this.#ended && at < input.length) {
      if (this.#left > 0) {
        const take = Math.min(this.#left, input.length - at);
        const piece = input.subarray(at, at + take);
        this.#unmask(piece);
        at += take;
        this.#left -= take;
        this.#data(piece, this.#fin && this.#left === 0);
        continue;
      }
      const next = this.#frame(input, at);
      if (next < 0) {
        // A copy: the rest of a large read must not be kept alive by a few bytes.
        if (!this.#ended) this.#pending = Buffer.from(input.subarray(at));
        return;
      }
      at = next;
    }
  }

  /** Reads one frame, or the beginning of a long one; where the next one begins, or -1 for more bytes. */
  #frame(input: Buffer, at: number): number {
    if (input.length - at < 2) return -1;
    const first = input[at] as number;
    const second = input[at + 1] as number;
    const opcode = first & 0x0f;
    const fin = (first & 0x80) !== 0;
    const { isServer } = this.#options;
    const error = this.#checkFirst(first, opcode, fin, second);
    if (error !== undefined) return this.#fail(1002, error);
    if (((second & 0x80) !== 0) !== isServer)
      return this.#fail(1002, isServer ? "frame is not masked" : "frame is masked");
    let length = second & 0x7f;
    let start = at + 2;
    if (length === 126) {
      if (input.length < start + 2) return -1;
      length = input.readUInt16BE(start);
      start += 2;
    } else if (length === 127) {
      if (input.length < start + 8) return -1;
      const high = input.readUInt32BE(start);
      if (high > 0x1fffff) return this.#fail(1009, "frame too large");
      length = high * 2 ** 32 + input.readUInt32BE(start + 4);
      start += 8;
    }
    if (opcode < 8 && this.#messageBytes + length > this.#options.messageMaxBytes)
      return this.#fail(1009, "message too large");
    if (isServer) {
      if (input.length < start + 4) return -1;
      this.#mask = input.readInt32BE(start);
      start += 4;
    }
    this.#maskAt = 0;
    const there = input.length - start;
    if (opcode >= 8) {
      if (there < length) return -1;
      this.#control(opcode, this.#unmask(input.subarray(start, start + length)));
      return start + length;
    }
    if (there < length && length <= WHOLE_FRAME_MAX_BYTES) return -1;
    if (opcode !== 0) {
      this.#opcode = opcode;
      this.#isCompressed = (first & 0x40) !== 0;
    }
    this.#messageBytes += length;
    const take = Math.min(length, there);
    this.#left = length - take;
    this.#fin = fin;
    this.#data(this.#unmask(input.subarray(start, start + take)), fin && this.#left === 0);
    return start + take;
  }

  #checkFirst(first: number, opcode: number, fin: boolean, second: number): string | undefined {
    if ((first & 0x30) !== 0) return "reserved bits are set";
    const rsv1 = (first & 0x40) !== 0;
    if (rsv1 && (this.#options.inflater === undefined || (opcode !== 1 && opcode !== 2)))
      return "reserved bits are set";
    switch (opcode) {
      case OPCODE.continuation:
        return this.#opcode === 0 ? "continuation of nothing" : undefined;
      case OPCODE.text:
      case OPCODE.binary:
        return this.#opcode === 0 ? undefined : "message inside a message";
      case OPCODE.close:
      case OPCODE.ping:
      case OPCODE.pong:
        if (!fin) return "fragmented control frame";
        if (opcode === OPCODE.close && (second & 0x7f) === 1) return "half a close code";
        return (second & 0x7f) > CONTROL_MAX_BYTES ? "control frame too long" : undefined;
      default:
        return "reserved opcode";
    }
  }

  #data(piece: Buffer, last: boolean): void {
    if (this.#isCompressed) {
      this.#compressed(piece, last);
      return;
    }
    if (!this.#checkText(piece, last)) return;
    this.#deliver(piece, last);
  }

  #compressed(piece: Buffer, last: boolean): void {
    const inflater = this.#options.inflater as Inflater;
    if (this.#messageBytes > inflater.maxBytes) {
      this.#fail(1009, "message too large");
      return;
    }
    let packed = piece;
    if (!last || this.#packed !== undefined) {
      this.#packed ??= new ByteCollector();
      this.#packed.add(piece);
      if (!last) return;
      packed = this.#packed.take();
    }
    const inflated = inflater.inflate(packed);
    this.#packed = undefined;
    if (inflated.state === "too-large") this.#fail(1009, "message too large");
    else if (inflated.state === "corrupt") this.#fail(1007, "message cannot be inflated");
    else if (this.#checkText(inflated.payload, true)) this.#deliver(inflated.payload, true);
  }

  #checkText(piece: Buffer, last: boolean): boolean {
    if (this.#opcode !== OPCODE.text) return true;
    let isValid: boolean;
    if (last && this.#utf8 === undefined) isValid = isUtf8(piece);
    else {
      this.#utf8 ??= new Utf8Checker();
      isValid = this.#utf8.accepts(piece, last);
      if (last) this.#utf8 = undefined;
    }
    if (!isValid) this.#fail(1007, "text is not UTF-8");
    return isValid;
  }

  #deliver(piece: Buffer, last: boolean): void {
    const isBinary = this.#opcode === OPCODE.binary;
    if (last) {
      this.#opcode = 0;
      this.#messageBytes = 0;
    } else if (piece.length === 0) return; // empty fragments say nothing
    this.#handlers.onData(piece, isBinary, last);
  }

  #control(opcode: number, payload: Buffer): void {
    if (opcode === OPCODE.ping) this.#handlers.onPing(payload);
    else if (opcode === OPCODE.pong) this.#handlers.onPong(payload);
    else if (payload.length === 0) {
      this.end();
      this.#handlers.onClose(undefined, EMPTY);
    } else {
      const code = payload.readUInt16BE(0);
      const reason = payload.subarray(2);
      if (!isSendableCloseCode(code)) this.#fail(1002, "invalid close code");
      else if (!isUtf8(reason)) this.#fail(1007, "close reason is not UTF-8");
      else {
        this.end();
        this.#handlers.onClose(code, reason);
      }
    }
  }

  #unmask(piece: Buffer): Buffer {
    const mask = this.#mask;
    if (!this.#options.isServer || mask === 0) return piece;
    let at = this.#maskAt;
    for (let i = 0; i < piece.length; i += 1) {
      piece[i] = (piece[i] as number) ^ ((mask >>> (24 - ((at & 3) << 3))) & 0xff);
      at += 1;
    }
    this.#maskAt = at & 3;
    return piece;
  }

  #fail(code: number, message: string): -1 {
    this.end();
    this.#handlers.onError(code, message);
    return -1;
  }
}
