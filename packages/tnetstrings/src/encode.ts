import { type Bytes, toBuffer, VIEW_THRESHOLD_BYTES } from "./bytes.ts";

/** What can be written. Absent (undefined) members of a record are left out. */
export type TnetInput =
  | Bytes
  | Encoded
  | number
  | boolean
  | null
  | readonly TnetInput[]
  | ReadonlyMap<string, TnetInput>
  | { readonly [key: string]: TnetInput | undefined };

/** An element that is encoded already. */
export class Encoded {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A frame in the making: text and views in order, joined once. */
export class ByteWriter {
  #text = "";
  #parts: Bytes[] | undefined;
  #partBytes = 0;

  get length(): number {
    return this.#partBytes + this.#text.length;
  }

  add(bytes: Bytes): void {
    if (typeof bytes === "string") {
      this.#text += bytes;
      return;
    }
    this.#parts ??= [];
    this.#parts.push(this.#text, bytes);
    this.#partBytes += this.#text.length + bytes.length;
    this.#text = "";
  }

  /** Everything added so far as one buffer; the writer is empty afterwards. */
  take(): Buffer {
    const parts = this.#parts;
    const text = this.#text;
    this.#text = "";
    if (parts === undefined) return Buffer.from(text, "latin1");
    const out = Buffer.allocUnsafe(this.#partBytes + text.length);
    let at = 0;
    for (const part of parts) {
      if (typeof part === "string") at += out.write(part, at, "latin1");
      else {
        out.set(part, at);
        at += part.length;
      }
    }
    out.write(text, at, "latin1");
    this.#parts = undefined;
    this.#partBytes = 0;
    return out;
  }
}

/** Encodes one value. Integers get `#`, other numbers `^`, byte strings and views `,`. */
export function encode(value: TnetInput): Buffer {
  hasLargeView = false;
  const text = write(value, VIEW_THRESHOLD_BYTES);
  return hasLargeView ? encodeInParts(value) : Buffer.from(text, "latin1");
}

/** The same as a byte string; views are copied, so it is for small values. */
export function encodeText(value: TnetInput): string {
  return write(value, Number.POSITIVE_INFINITY);
}

/** Set by `write`: it met a view that is too large to become text, and what it returns is of no use. */
let hasLargeView = false;

function write(value: TnetInput, viewMaxBytes: number): string {
  switch (typeof value) {
    case "string":
      return `${lengthPrefix(value.length)}${value},`;
    case "number":
      return writeNumber(value);
    case "boolean":
      return value ? "4:true!" : "5:false!";
    default:
  }
  if (value === null) return "0:~";
  let out = "";
  if (Array.isArray(value)) {
    for (const one of value as readonly TnetInput[]) out += write(one, viewMaxBytes);
    return `${lengthPrefix(out.length)}${out}]`;
  }
  if (value instanceof Uint8Array) {
    if (value.length <= viewMaxBytes) return encodeByteString(toBuffer(value).toString("latin1"));
    hasLargeView = true;
    return "";
  }
  if (value instanceof Encoded) return value.text;
  if (value instanceof Map) {
    for (const [key, one] of value as ReadonlyMap<string, TnetInput | undefined>)
      if (one !== undefined) out += encodeByteString(key) + write(one, viewMaxBytes);
  } else {
    const record = value as { readonly [key: string]: TnetInput | undefined };
    for (const key in record) {
      const one = record[key];
      if (one !== undefined) out += encodeByteString(key) + write(one, viewMaxBytes);
    }
  }
  return `${lengthPrefix(out.length)}${out}}`;
}

function writeNumber(value: number): string {
  const digits = String(value);
  return `${lengthPrefix(digits.length)}${digits}${Number.isInteger(value) ? "#" : "^"}`;
}

/** For values with large views, which are copied once, into the frame. */
function encodeInParts(value: TnetInput): Buffer {
  const parts: Bytes[] = [];
  writeBackwards(parts, value);
  const writer = new ByteWriter();
  for (let i = parts.length - 1; i >= 0; i -= 1) writer.add(parts[i] as Bytes);
  return writer.take();
}

/** `<n>:` for small n, prebuilt. */
const PREFIXES = Array.from({ length: 1024 }, (_, n) => `${n}:`);

export function lengthPrefix(n: number): string {
  return n < 1024 ? (PREFIXES[n] as string) : `${n}:`;
}

/** One byte-string element: length, colon, bytes, comma. */
export function encodeByteString(text: string): string {
  return `${lengthPrefix(text.length)}${text},`;
}

/** Pushes the element in reverse order and returns its length in bytes: no separate size pass. */
function writeBackwards(parts: Bytes[], value: TnetInput): number {
  if (typeof value === "string") {
    const text = encodeByteString(value);
    parts.push(text);
    return text.length;
  }
  if (typeof value === "number") {
    const text = writeNumber(value);
    parts.push(text);
    return text.length;
  }
  if (typeof value === "boolean") {
    const text = value ? "4:true!" : "5:false!";
    parts.push(text);
    return text.length;
  }
  if (value === null) {
    parts.push("0:~");
    return 3;
  }
  if (value instanceof Uint8Array) {
    const prefix = lengthPrefix(value.length);
    parts.push(",", value, prefix);
    return 1 + value.length + prefix.length;
  }
  if (value instanceof Encoded) {
    parts.push(value.text);
    return value.text.length;
  }
  return writeContainer(parts, value);
}

function writeContainer(
  parts: Bytes[],
  value:
    | readonly TnetInput[]
    | ReadonlyMap<string, TnetInput>
    | { readonly [key: string]: TnetInput | undefined },
): number {
  let size = 0;
  const isList = Array.isArray(value);
  parts.push(isList ? "]" : "}");
  if (isList) {
    const list = value as readonly TnetInput[];
    for (let i = list.length - 1; i >= 0; i -= 1)
      size += writeBackwards(parts, list[i] as TnetInput);
  } else {
    const entries = value instanceof Map ? [...value.entries()] : Object.entries(value);
    for (let i = entries.length - 1; i >= 0; i -= 1) {
      const [key, member] = entries[i] as [string, TnetInput | undefined];
      if (member === undefined) continue;
      size += writeBackwards(parts, member) + writeBackwards(parts, key);
    }
  }
  const prefix = lengthPrefix(size);
  parts.push(prefix);
  return 1 + size + prefix.length;
}
