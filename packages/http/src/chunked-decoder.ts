/** Limit: one chunk-size line with its extensions, and all trailers together. Unit: bytes. */
export const CHUNK_LINE_MAX_BYTES = 1024;
export const TRAILERS_MAX_BYTES = 8192;
/** Limit: chunk extensions of one body together: they carry nothing for us. Unit: bytes. */
export const EXTENSIONS_MAX_BYTES = 16_384;

export type ChunkedResult =
  | { readonly state: "more" }
  /** The body is complete; the next request begins at `end` of the input. */
  | { readonly state: "done"; readonly end: number }
  | { readonly state: "error"; readonly error: string };

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const QUOTED =
  '"(?:[\\t\\x20\\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t\\x20-\\x7e\\x80-\\xff])*"';
/** Extensions by the grammar and without blanks: who reads them otherwise sees other chunks. */
const SIZE_LINE = new RegExp(`^([0-9A-Fa-f]{1,12})((?:;${TOKEN}(?:=(?:${TOKEN}|${QUOTED}))?)*)$`);
const TRAILER_LINE = new RegExp(`^(${TOKEN}):[\\t\\x20-\\x7e\\x80-\\xff]*$`);
/** Fields that would change what was read already. */
const FRAMING_FIELD = /^(?:content-length|transfer-encoding|host)$/i;

type Phase = "size" | "data" | "data-end" | "trailer";

/** Takes a chunked body apart (RFC 9112, 7.1): strict line ends, bounded lines, trailers discarded. */
export class ChunkedDecoder {
  #phase: Phase = "size";
  #line = "";
  #left = 0;
  #trailerBytes = 0;
  #extensionBytes = 0;

  /** Body pieces in `input` go to `onData` as views. */
  decode(input: Buffer, onData: (piece: Buffer) => void): ChunkedResult {
    let at = 0;
    while (at < input.length) {
      if (this.#phase === "data") {
        const take = Math.min(this.#left, input.length - at);
        onData(input.subarray(at, at + take));
        at += take;
        this.#left -= take;
        if (this.#left === 0) this.#phase = "data-end";
        continue;
      }
      const end = input.indexOf(0x0a, at);
      const piece = input.toString("latin1", at, end < 0 ? input.length : end + 1);
      this.#line += piece;
      if (this.#line.length > CHUNK_LINE_MAX_BYTES && this.#phase !== "trailer")
        return { state: "error", error: "invalid chunk size" };
      if (this.#phase === "trailer") {
        this.#trailerBytes += piece.length;
        if (this.#trailerBytes > TRAILERS_MAX_BYTES)
          return { state: "error", error: "too many headers" };
      }
      if (end < 0) return { state: "more" };
      at = end + 1;
      const line = this.#line;
      this.#line = "";
      const error = this.#takeLine(line);
      if (error !== undefined) return { state: "error", error };
      if (this.#phase === "trailer" && line === "\r\n") return { state: "done", end: at };
    }
    return { state: "more" };
  }

  #takeLine(line: string): string | undefined {
    if (!line.endsWith("\r\n"))
      return this.#phase === "data-end" ? "invalid chunk suffix" : "invalid chunk size";
    const text = line.slice(0, -2);
    if (this.#phase === "data-end") {
      if (text !== "") return "invalid chunk suffix";
      this.#phase = "size";
      return undefined;
    }
    if (this.#phase === "trailer") {
      if (text === "") return undefined;
      const name = TRAILER_LINE.exec(text)?.[1];
      return name === undefined || FRAMING_FIELD.test(name) ? "invalid header name" : undefined;
    }
    const match = SIZE_LINE.exec(text);
    if (match === null) return "invalid chunk size";
    this.#extensionBytes += match[2]?.length ?? 0;
    if (this.#extensionBytes > EXTENSIONS_MAX_BYTES) return "invalid chunk size";
    this.#left = Number.parseInt(match[1] as string, 16);
    this.#phase = this.#left === 0 ? "trailer" : "data";
    return undefined;
  }
}
