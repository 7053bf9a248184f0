import { type Bytes, VIEW_THRESHOLD_BYTES } from "./bytes.ts";
import { fail, type Result } from "./result.ts";

export type TnetMap = Map<string, Tnet>;
/** What is read: byte strings up to 4096 bytes as text, longer ones as views. */
export type Tnet = Bytes | number | boolean | null | Tnet[] | TnetMap;

export interface DecodeLimits {
  /** Nesting of lists and maps; deeper input is refused. Default 64. */
  readonly maxDepth?: number;
  /** Elements in all; more is refused. Default 1,000,000. */
  readonly maxElements?: number;
}

/** Limit: nesting of lists and maps. */
export const TNET_DEPTH_MAX = 64;
/** Limit: elements of one value, which bounds what a small input can allocate. */
export const TNET_ELEMENTS_MAX = 1_000_000;

/**
 * Decodes the element at the start of `input`; bytes after it are ignored. Unordered keys, the
 * last of equal keys wins. Views live as long as `input`.
 *
 * @returns the value, or an error that says what is wrong and where; never throws.
 */
export function decode(input: Uint8Array | string, limits: DecodeLimits = {}): Result<Tnet> {
  const reader = new Reader(input, limits);
  const value = reader.read(0, input.length, limits.maxDepth ?? TNET_DEPTH_MAX);
  if (value === undefined) return fail(reader.error);
  return { ok: true, value };
}

const COLON = 0x3a;

class Reader {
  error = "";
  /** Where the element read last ended. */
  end = 0;
  readonly #text: string | undefined;
  readonly #buffer: Buffer | undefined;
  #elementsLeft: number;

  constructor(input: Uint8Array | string, limits: DecodeLimits) {
    this.#elementsLeft = limits.maxElements ?? TNET_ELEMENTS_MAX;
    if (typeof input === "string") {
      this.#text = input;
      return;
    }
    this.#buffer = Buffer.isBuffer(input)
      ? input
      : Buffer.from(input.buffer, input.byteOffset, input.byteLength);
    // Small frames are scanned as one string; large ones in place, so that bodies stay views.
    if (input.length <= 2 * VIEW_THRESHOLD_BYTES) this.#text = this.#buffer.toString("latin1");
  }

  read(start: number, limit: number, depth: number): Tnet | undefined {
    this.#elementsLeft -= 1;
    if (this.#elementsLeft < 0) return this.#fail("too many elements", start);
    const text = this.#text;
    let at = start;
    let length = 0;
    for (; ; at += 1) {
      if (at >= limit) return this.#fail("truncated length", start);
      const code = text !== undefined ? text.charCodeAt(at) : this.#byte(at);
      if (code === COLON) break;
      if (code < 0x30 || code > 0x39 || at - start >= 10) return this.#fail("bad length", start);
      length = length * 10 + (code - 0x30);
    }
    if (at === start) return this.#fail("bad length", start);
    const from = at + 1;
    const to = from + length;
    if (to >= limit) return this.#fail("truncated element", start);
    this.end = to + 1;
    switch (text !== undefined ? text.charCodeAt(to) : this.#byte(to)) {
      case 0x2c: // ,
        if (text !== undefined && length <= VIEW_THRESHOLD_BYTES) return text.substring(from, to);
        return this.#bytes(from, to);
      case 0x23: // #
        return this.#integer(from, to);
      case 0x5e: // ^
        return this.#float(from, to);
      case 0x21: // !
        return this.#boolean(from, to);
      case 0x7e: // ~
        return length === 0 ? null : this.#fail("null with a payload", start);
      case 0x7d: // }
        return depth > 0 ? this.#map(from, to, depth - 1) : this.#fail("nested too deep", start);
      case 0x5d: // ]
        return depth > 0 ? this.#list(from, to, depth - 1) : this.#fail("nested too deep", start);
      default:
        return this.#fail("unknown type", to);
    }
  }

  #byte(at: number): number {
    return this.#text !== undefined ? this.#text.charCodeAt(at) : (this.#buffer?.[at] ?? 0);
  }

  #slice(from: number, to: number): string {
    return this.#text !== undefined
      ? this.#text.substring(from, to)
      : (this.#buffer?.toString("latin1", from, to) ?? "");
  }

  #bytes(from: number, to: number): Bytes {
    if (to - from > VIEW_THRESHOLD_BYTES && this.#buffer) return this.#buffer.subarray(from, to);
    return this.#slice(from, to);
  }

  #integer(from: number, to: number): number | undefined {
    const short = this.#shortInteger(from, to);
    if (short >= 0) return short;
    const text = this.#slice(from, Math.min(to, from + 24));
    if (to - from > 20 || !/^-?\d+$/.test(text)) return this.#fail("bad integer", from);
    const value = Number(text);
    return Object.is(value, -0) ? 0 : value;
  }

  /** Up to 15 digits without a sign, as almost all integers are; -1 for anything else. */
  #shortInteger(from: number, to: number): number {
    if (to === from || to - from > 15) return -1;
    let value = 0;
    for (let i = from; i < to; i += 1) {
      const digit = this.#byte(i) - 0x30;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    return value;
  }

  #float(from: number, to: number): number | undefined {
    const text = this.#slice(from, Math.min(to, from + 400));
    const value = Number(text);
    if (to - from > 400 || !/^[-+.\deE]+$/.test(text) || Number.isNaN(value))
      return this.#fail("bad float", from);
    return value;
  }

  #boolean(from: number, to: number): boolean | undefined {
    const text = this.#slice(from, Math.min(to, from + 6));
    if (text === "true") return true;
    return text === "false" ? false : this.#fail("bad boolean", from);
  }

  #list(from: number, to: number, depth: number): Tnet[] | undefined {
    const list: Tnet[] = [];
    for (let at = from; at < to; at = this.end) {
      const value = this.read(at, to, depth);
      if (value === undefined) return undefined;
      list.push(value);
    }
    this.end = to + 1;
    return list;
  }

  #map(from: number, to: number, depth: number): TnetMap | undefined {
    const map: TnetMap = new Map();
    for (let at = from; at < to; at = this.end) {
      const key = this.read(at, to, depth);
      if (key === undefined) return undefined;
      if (typeof key !== "string") return this.#fail("key is not a byte string", at);
      if (this.end >= to) return this.#fail("key without value", at);
      const value = this.read(this.end, to, depth);
      if (value === undefined) return undefined;
      map.set(key, value);
    }
    this.end = to + 1;
    return map;
  }

  #fail(what: string, at: number): undefined {
    if (this.error === "") this.error = `${what} at byte ${at}`;
    return undefined;
  }
}
