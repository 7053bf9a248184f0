import { type Bytes, concatBytes, toUtf8 } from "@pushpin/tnetstrings";

/** Limit: one message of a client. Unit: bytes. */
export const CLIENT_MESSAGE_MAX_BYTES = 200_000;

/** `a["m1","m2"]`: messages for the client; undefined bytes of bad UTF-8 are replaced. */
export function messagesFrame(messages: readonly string[]): string {
  return `a${JSON.stringify(messages)}`;
}

export function closeFrame(code: number, reason: string): string {
  return `c[${code},${JSON.stringify(reason)}]`;
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

/** Puts the pieces of messages together. */
export class MessageAssembler {
  #pieces: Bytes[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** The text of a message that is complete now. */
  add(body: Bytes, more: boolean): string | undefined {
    this.#pieces.push(body);
    this.#bytes += body.length;
    if (more) return undefined;
    const text = toUtf8(concatBytes(this.#pieces));
    this.#pieces = [];
    this.#bytes = 0;
    return text;
  }
}

