import { constants, deflateRawSync, inflateRawSync } from "node:zlib";

/**
 * Limit: what a compressed message may hold when it is unpacked; more closes with 1009. It is
 * unpacked in one go, so this also bounds the time that takes.
 */
export const INFLATED_MAX_BYTES = 16 * 1024 * 1024;
/** Limit: messages above this go out as they are, so that no client waits for the packing of another's. */
export const DEFLATE_MAX_BYTES = 1024 * 1024;
/** Limit: a whole message is packed from this size on; a smaller one goes out as it is, which is as small. Unit: bytes. */
export const DEFLATE_MIN_BYTES = 64;

const WINDOW_BYTES = 32 * 1024;
/** Ends every sync-flushed block; RFC 7692 leaves it out at the end of a message. */
const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);

/** What was agreed on with one client (RFC 7692). */
export interface DeflateAgreement {
  /** Value of `Sec-WebSocket-Extensions` in the answer. */
  readonly answer: string;
  /** The client's messages may refer to its earlier ones. */
  readonly clientTakesOver: boolean;
}

export type DeflateNegotiation =
  | { readonly state: "agreed"; readonly agreement: DeflateAgreement }
  | { readonly state: "none" }
  | { readonly state: "malformed" };

const NONE: DeflateNegotiation = { state: "none" };
const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const OFFER = new RegExp(
  `^[ \\t]*(${TOKEN})((?:[ \\t]*;[ \\t]*${TOKEN}(?:[ \\t]*=[ \\t]*(?:${TOKEN}|"${TOKEN}"))?)*)[ \\t]*$`,
);
const PARAMETER = new RegExp(`;[ \\t]*(${TOKEN})(?:[ \\t]*=[ \\t]*"?(${TOKEN})"?)?`, "g");

/** Answers the offers of a `Sec-WebSocket-Extensions` value; the first acceptable one wins. */
export function negotiateDeflate(value: string): DeflateNegotiation {
  let agreement: DeflateAgreement | undefined;
  for (const text of value.split(",")) {
    const offer = OFFER.exec(text);
    if (offer === null) return { state: "malformed" };
    if (offer[1] === "permessage-deflate") agreement ??= acceptOffer(offer[2] as string);
  }
  return agreement === undefined ? NONE : { state: "agreed", agreement };
}

function acceptOffer(parameters: string): DeflateAgreement | undefined {
  const seen = new Map<string, string | undefined>();
  for (const [, name, value] of parameters.matchAll(PARAMETER)) {
    if (seen.has(name as string)) return undefined;
    seen.set(name as string, value);
  }
  for (const [name, value] of seen) {
    switch (name) {
      case "client_no_context_takeover":
      case "server_no_context_takeover":
        if (value !== undefined) return undefined;
        break;
      case "client_max_window_bits":
        if (value !== undefined && !isWindowBits(value)) return undefined;
        break;
      case "server_max_window_bits":
        if (value !== "15") return undefined; // frames are shared, so all have one window
        break;
      default:
        return undefined;
    }
  }
  let answer = "permessage-deflate";
  if (seen.has("client_no_context_takeover")) answer += "; client_no_context_takeover";
  if (seen.has("server_no_context_takeover")) answer += "; server_no_context_takeover";
  return { answer, clientTakesOver: !seen.has("client_no_context_takeover") };
}

function isWindowBits(value: string): boolean {
  return /^(?:[89]|1[0-5])$/.test(value);
}

/**
 * Packs one piece of a message without reference to anything before it, so that the result serves
 * every client and a long message can be packed piece by piece.
 */
export function deflatePiece(piece: string | Uint8Array, last: boolean): Buffer {
  const input = typeof piece === "string" ? Buffer.from(piece, "latin1") : piece;
  const packed = deflateRawSync(input, { finishFlush: constants.Z_SYNC_FLUSH });
  return last ? packed.subarray(0, packed.length - TAIL.length) : packed;
}

export type Inflated =
  | { readonly state: "ok"; readonly payload: Buffer }
  | { readonly state: "too-large" }
  | { readonly state: "corrupt" };

/**
 * Unpacks a client's messages. What later messages may refer to is kept as plain bytes, at most a
 * window's worth, in place of a zlib stream for every client.
 */
export class Inflater {
  /** Limit: bytes of one message. */
  readonly maxBytes: number;
  readonly #keepsWindow: boolean;
  #window: Buffer | undefined;

  constructor(agreement: DeflateAgreement, maxBytes = INFLATED_MAX_BYTES) {
    this.#keepsWindow = agreement.clientTakesOver;
    this.maxBytes = maxBytes;
  }

  /** One whole message. */
  inflate(packed: Uint8Array): Inflated {
    try {
      const payload = inflateRawSync(Buffer.concat([packed, TAIL]), {
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: this.maxBytes,
        ...(this.#window === undefined ? {} : { dictionary: this.#window }),
      });
      if (this.#keepsWindow) this.#slide(payload);
      return { state: "ok", payload };
    } catch (error) {
      const { code } = error as { code?: string };
      return { state: code === "ERR_BUFFER_TOO_LARGE" ? "too-large" : "corrupt" };
    }
  }

  #slide(payload: Buffer): void {
    if (payload.length >= WINDOW_BYTES) {
      this.#window = Buffer.from(payload.subarray(payload.length - WINDOW_BYTES));
      return;
    }
    const old = this.#window ?? Buffer.alloc(0);
    const keep = Math.min(old.length, WINDOW_BYTES - payload.length);
    this.#window = Buffer.concat([old.subarray(old.length - keep), payload]);
  }
}
