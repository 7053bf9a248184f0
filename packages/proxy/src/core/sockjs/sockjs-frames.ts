import { type Bytes, concatBytes, detached, toUtf8 } from "@pushpin/tnetstrings";

/** Limit: one message of a client. Unit: bytes. */
export const CLIENT_MESSAGE_MAX_BYTES = 200_000;

/** Limit: one message of a backend. Unit: bytes; beyond it the session ends. */
export const BACKEND_MESSAGE_MAX_BYTES = 200_000;

/** `a["m1","m2"]`: messages for the client. */
export function messagesFrame(messages: readonly string[]): string {
  return `a${JSON.stringify(messages)}`;
}

export function closeFrame(code: number, reason: string): string {
  return `c[${code},${JSON.stringify(reason)}]`;
}

/** A frame as the script of a JSON-P poll, in UTF-16. */
export function scriptOf(callback: string, frame: string): string {
  // Older browsers end a line at these two, even inside a string.
  const text = JSON.stringify(frame)
    .replaceAll("\u2028", "\\u2028")
    .replaceAll("\u2029", "\\u2029");
  return `/**/${callback}(${text});\n`;
}

/** What a client sends: a JSON array of strings. Undefined if it is anything else. */
export function readMessages(payload: string): string[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value) || !value.every((one) => typeof one === "string")) return undefined;
  return value;
}

export type Assembled =
  | { readonly state: "incomplete" }
  | { readonly state: "too-large" }
  | { readonly state: "complete"; readonly text: string; readonly bytes: number };

/** Puts the pieces of messages together; bad UTF-8 is replaced. */
export class MessageAssembler {
  readonly #maxBytes: number;
  #pieces: Bytes[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** After "too-large" there is nothing left of it. */
  add(body: Bytes, more: boolean): Assembled {
    const bytes = this.#bytes + body.length;
    // Limit: BACKEND_MESSAGE_MAX_BYTES, WRAPPED_MAX_BYTES
    if (bytes > this.#maxBytes) {
      this.#clear();
      return { state: "too-large" };
    }
    if (body.length > 0) this.#pieces.push(detached(body)); // it outlives its packet
    this.#bytes = bytes;
    if (more) return { state: "incomplete" };
    const text = toUtf8(concatBytes(this.#pieces));
    this.#clear();
    return { state: "complete", text, bytes };
  }

  #clear(): void {
    this.#pieces = [];
    this.#bytes = 0;
  }
}
