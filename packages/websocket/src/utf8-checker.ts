import { isUtf8 } from "node:buffer";

/** Checks a text that arrives in pieces, which may cut characters anywhere (RFC 6455, 8.1). */
export class Utf8Checker {
  /** The beginning of a character whose rest has not come yet: at most three bytes. */
  #begun: Buffer | undefined;

  /** Whether everything up to here can be the beginning of a valid text, or with `last` is one. */
  accepts(piece: Buffer, last: boolean): boolean {
    let text = piece;
    if (this.#begun !== undefined) {
      text = Buffer.concat([this.#begun, piece]);
      this.#begun = undefined;
    }
    if (last) return isUtf8(text);
    const end = completeLength(text);
    if (end < text.length) {
      if (!mayBegin(text, end)) return false;
      this.#begun = Buffer.from(text.subarray(end));
    }
    return isUtf8(text.subarray(0, end));
  }
}

/** Where the last complete character ends. */
function completeLength(text: Buffer): number {
  const first = Math.max(0, text.length - 3);
  for (let at = text.length - 1; at >= first; at -= 1) {
    const byte = text[at] as number;
    if (byte < 0x80) return text.length;
    if (byte >= 0xc0) return at + characterBytes(byte) > text.length ? at : text.length;
  }
  return text.length;
}

function characterBytes(lead: number): number {
  if (lead >= 0xf0) return 4;
  return lead >= 0xe0 ? 3 : 2;
}

/** Whether a cut character can still become valid: its second byte already tells overlong and surrogate forms. */
function mayBegin(text: Buffer, at: number): boolean {
  const lead = text[at] as number;
  if (lead < 0xc2 || lead > 0xf4) return false;
  for (let i = at + 1; i < text.length; i += 1) {
    const byte = text[i] as number;
    if ((byte & 0xc0) !== 0x80) return false;
    if (i > at + 1) continue;
    if (lead === 0xe0 && byte < 0xa0) return false;
    if (lead === 0xed && byte > 0x9f) return false;
    if (lead === 0xf0 && byte < 0x90) return false;
    if (lead === 0xf4 && byte > 0x8f) return false;
  }
  return true;
}
