import {
  decode,
  fail,
  ok,
  type Result,
  type TnetMap,
  VIEW_THRESHOLD_BYTES,
} from "@pushpin/tnetstrings";
import { ANCHOR_MAX_BYTES, ID_LIST_MAX, type IdEntry, Packet, type PacketType } from "./packet.ts";

/** Limit: header fields of one packet. */
export const PACKET_HEADERS_MAX = 1000;
/** Frames up to this are scanned as one string; in larger ones values are cut out in place. */
const SCAN_AS_TEXT_MAX_BYTES = 2 * VIEW_THRESHOLD_BYTES;

const COLON = 0x3a;
const COMMA = 0x2c;
const HASH = 0x23;
const BANG = 0x21;
const CLOSE_MAP = 0x7d;
const CLOSE_LIST = 0x5d;

/** What is wrong with the packet, thrown and caught inside this file only. */
class Malformed extends Error {}

/**
 * Decodes one ZHTTP packet, for example `T51:4:from,1:c,2:id,1:a,3:seq,1:1#4:type,10:keep-alive,}`:
 * `T`, then a map in any key order. Unknown keys are ignored, the last of equal keys wins, bytes
 * after the map are ignored. Bodies above 4096 bytes are views into `frame`.
 *
 * @returns the packet, or an error that names the key; never throws.
 * @see docs/wire/zhttp.md
 */
export function decodePacket(frame: Uint8Array, start = 0, end = frame.length): Result<Packet> {
  if (frame[start] !== 0x54) return fail("packet does not start with 'T'");
  try {
    const { packet } = decodeElement(asBuffer(frame), start + 1, end);
    if (bodySize >= 0) return fail("body-size: no part for the body");
    return ok(packet);
  } catch (error) {
    if (error instanceof Malformed) return fail(error.message);
    throw error;
  }
}

/**
 * Decodes a whole frame: `T` and one packet, or `B` and packets one after the other. Packets
 * before a malformed one are still delivered. `parts` from `nextPart` on are the bodies of those packets that
 * have only a size; they become views, and all of them must be used.
 */
export function decodeFrame(
  frame: Uint8Array,
  start: number,
  onPacket: (packet: Packet) => void,
  onError: (error: string) => void,
  parts: readonly Uint8Array[] = NO_PARTS,
  nextPart = 0,
): void {
  const letter = frame[start];
  if (letter !== 0x54 && letter !== 0x42) {
    onError("packet starts with neither 'T' nor 'B'");
    return;
  }
  const buffer = asBuffer(frame);
  let at = start + 1;
  let part = nextPart;
  do {
    let element: { packet: Packet; end: number };
    try {
      element = decodeElement(buffer, at, frame.length);
      if (bodySize >= 0) {
        element.packet.body = bodyOf(element.packet, parts[part]);
        part += 1;
      }
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      onError(error.message);
      return;
    }
    at = element.end;
    onPacket(element.packet);
  } while (letter === 0x42 && at < frame.length);
  if (part < parts.length) onError("a part that is no packet's body");
}

const NO_PARTS: readonly Uint8Array[] = [];

/** Of the packet decoded last, the size of a body that is a part of its own; -1: it has none. */
let bodySize = -1;

function bodyOf(packet: Packet, part: Uint8Array | undefined): Uint8Array {
  if (part === undefined) throw malformed("body-size: no part for the body");
  if (part.length !== bodySize) throw malformed("body-size: not that of the part");
  if (packet.body.length > 0) throw malformed("body-size: there is a body, too");
  return part;
}

function asBuffer(frame: Uint8Array): Buffer {
  return Buffer.isBuffer(frame)
    ? frame
    : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
}

function decodeElement(frame: Buffer, start: number, end: number): { packet: Packet; end: number } {
  let at = start;
  let length = 0;
  for (; ; at += 1) {
    const code = at < end ? (frame[at] as number) : 0;
    if (code === COLON) break;
    if (code < 0x30 || code > 0x39 || at - start >= 10) throw new Malformed("bad length prefix");
    length = length * 10 + code - 0x30;
  }
  if (at === start) throw new Malformed("bad length prefix");
  const from = at + 1;
  const to = from + length;
  if (to >= end) throw new Malformed("truncated packet");
  if (frame[to] !== CLOSE_MAP) throw new Malformed("packet is not a map");
  const packet = new Packet();
  bodySize = -1;
  if (length <= SCAN_AS_TEXT_MAX_BYTES) decodeText(packet, frame.toString("latin1", from, to));
  else decodeLarge(packet, frame, from, to);
  return { packet, end: to + 1 };
}

/** Where the number that was read ended; module state, because two results would be an allocation. */
let cursor = 0;

function readLength(text: string, at: number, end: number): number {
  let length = 0;
  let i = at;
  // Behind the end of the text there is no digit; an element that crosses `end` is found by its end.
  for (let code = text.charCodeAt(i); code !== COLON; code = text.charCodeAt(i)) {
    if (!(code >= 0x30 && code <= 0x39) || i - at >= 10) throw malformed("bad length");
    length = length * 10 + code - 0x30;
    i += 1;
  }
  if (i === at || i >= end) throw malformed("bad length");
  cursor = i + 1;
  return length;
}

/** Out of line, so that what throws stays small enough to be inlined. */
function malformed(text: string): Malformed {
  return new Malformed(text);
}

function decodeText(packet: Packet, text: string): void {
  const end = text.length;
  for (let at = 0; at < end; ) {
    const keyLength = readLength(text, at, end);
    const keyStart = cursor;
    const keyEnd = keyStart + keyLength;
    if (keyEnd >= end || text.charCodeAt(keyEnd) !== COMMA) throw new Malformed("bad key");
    const length = readLength(text, keyEnd + 1, end);
    const from = cursor;
    const to = from + length;
    if (to >= end) throw new Malformed("truncated value");
    setField(packet, text, keyStart, keyLength, text, from, to, text.charCodeAt(to));
    at = to + 1;
  }
}

/** The same walk over bytes: only the values are turned into strings, and a large body into none. */
function decodeLarge(packet: Packet, frame: Buffer, start: number, end: number): void {
  for (let at = start; at < end; ) {
    const prefix = frame.toString("latin1", at, Math.min(at + 48, end));
    const keyLength = readLength(prefix, 0, prefix.length);
    const keyStart = at + cursor;
    const keyEnd = keyStart + keyLength;
    if (keyEnd >= end || frame[keyEnd] !== COMMA) throw new Malformed("bad key");
    const lengthText = frame.toString("latin1", keyEnd + 1, Math.min(keyEnd + 13, end));
    const length = readLength(lengthText, 0, lengthText.length);
    const from = keyEnd + 1 + cursor;
    const to = from + length;
    if (to >= end) throw new Malformed("truncated value");
    const key = frame.toString("latin1", keyStart, Math.min(keyEnd, keyStart + 32));
    const type = frame[to] as number;
    if (length > VIEW_THRESHOLD_BYTES && key === "body") {
      if (type !== COMMA) throw new Malformed("body: wrong type");
      packet.body = frame.subarray(from, to);
    } else {
      const value = frame.toString("latin1", from, to);
      setField(packet, key, 0, keyLength, value, 0, value.length, type);
    }
    at = to + 1;
  }
}

/** Dispatches on length and first character, then makes sure of the whole key. */
function setField(
  packet: Packet,
  keys: string,
  keyStart: number,
  keyLength: number,
  text: string,
  from: number,
  to: number,
  type: number,
): void {
  switch (keys.charCodeAt(keyStart)) {
    case 0x62: // b
      if (matches(keys, keyStart, keyLength, "body"))
        packet.body = bytesValue("body", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "body-size"))
        bodySize = integerValue("body-size", text, from, to, type);
      return;
    case 0x63: // c
      if (matches(keys, keyStart, keyLength, "credits"))
        packet.credits = integerValue("credits", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "code"))
        packet.code = integerValue("code", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "content-type"))
        packet.contentType = bytesValue("content-type", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "condition"))
        packet.condition = bytesValue("condition", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "connect-host"))
        packet.connectHost = bytesValue("connect-host", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "connect-port"))
        packet.connectPort = integerValue("connect-port", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "client-cert"))
        packet.clientCert = bytesValue("client-cert", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "client-key"))
        packet.clientKey = bytesValue("client-key", text, from, to, type);
      return;
    case 0x65: // e
      if (matches(keys, keyStart, keyLength, "ext")) setExt(packet, text, from, to, type);
      return;
    case 0x66: // f
      if (matches(keys, keyStart, keyLength, "from"))
        packet.from = bytesValue("from", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "follow-redirects"))
        packet.followRedirects = booleanValue("follow-redirects", text, from, to, type);
      return;
    case 0x68: // h
      if (matches(keys, keyStart, keyLength, "headers"))
        packet.headers = headersValue(text, from, to, type);
      return;
    case 0x69: // i
      if (matches(keys, keyStart, keyLength, "id")) setId(packet, text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "ignore-policies"))
        packet.ignorePolicies = booleanValue("ignore-policies", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "ignore-tls-errors"))
        packet.ignoreTlsErrors = booleanValue("ignore-tls-errors", text, from, to, type);
      return;
    case 0x6d: // m
      if (matches(keys, keyStart, keyLength, "more"))
        packet.more = booleanValue("more", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "method"))
        packet.method = bytesValue("method", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "max-size"))
        packet.maxSize = integerValue("max-size", text, from, to, type);
      return;
    case 0x70: // p
      if (matches(keys, keyStart, keyLength, "peer-address"))
        packet.peerAddress = bytesValue("peer-address", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "peer-port"))
        packet.peerPort = integerValue("peer-port", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "passthrough"))
        packet.passthrough = mapValue("passthrough", text, from, to, type);
      return;
    case 0x72: // r
      if (matches(keys, keyStart, keyLength, "reason"))
        packet.reason = bytesValue("reason", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "router-resp"))
        packet.routerResp = booleanValue("router-resp", text, from, to, type);
      return;
    case 0x73: // s
      if (matches(keys, keyStart, keyLength, "seq"))
        packet.seq = integerValue("seq", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "stream"))
        packet.stream = booleanValue("stream", text, from, to, type);
      return;
    case 0x74: // t
      if (matches(keys, keyStart, keyLength, "type")) packet.type = typeValue(text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "timeout"))
        packet.timeoutMs = integerValue("timeout", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "trust-connect-host"))
        packet.trustConnectHost = booleanValue("trust-connect-host", text, from, to, type);
      return;
    case 0x75: // u
      if (matches(keys, keyStart, keyLength, "uri"))
        packet.uri = bytesValue("uri", text, from, to, type);
      else if (matches(keys, keyStart, keyLength, "user-data"))
        packet.userData = `${to - from}:${text.substring(from, to)}${String.fromCharCode(type)}`;
      return;
    default: // unknown keys are ignored
  }
}

function matches(keys: string, start: number, length: number, key: string): boolean {
  if (key.length !== length) return false;
  // The first character is known. A call of `startsWith` costs more than these few steps.
  for (let i = 1; i < length; i += 1)
    if (keys.charCodeAt(start + i) !== key.charCodeAt(i)) return false;
  return true;
}

function bytesValue(key: string, text: string, from: number, to: number, type: number): string {
  if (type !== COMMA) throw new Malformed(`${key}: wrong type`);
  return text.substring(from, to);
}

/** Integers of any sign of life: `#`, or digits in bytes as the original's receivers accept them. */
function integerValue(key: string, text: string, from: number, to: number, type: number): number {
  if (type !== HASH && type !== COMMA) throw new Malformed(`${key}: wrong type`);
  if (to === from || to - from > 15) throw new Malformed(`${key}: bad integer`);
  let value = 0;
  for (let i = from; i < to; i += 1) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) throw new Malformed(`${key}: bad integer`);
    value = value * 10 + digit;
  }
  return value;
}

function booleanValue(key: string, text: string, from: number, to: number, type: number): boolean {
  if (type !== BANG) throw new Malformed(`${key}: wrong type`);
  if (to - from === 4 && text.startsWith("true", from)) return true;
  if (to - from === 5 && text.startsWith("false", from)) return false;
  throw new Malformed(`${key}: bad boolean`);
}

function mapValue(key: string, text: string, from: number, to: number, type: number): TnetMap {
  if (type !== CLOSE_MAP) throw new Malformed(`${key}: wrong type`);
  const decoded = decode(`${to - from}:${text.substring(from, to)}}`);
  if (!decoded.ok || !(decoded.value instanceof Map)) throw new Malformed(`${key}: not a map`);
  return decoded.value;
}

const TYPES: ReadonlyMap<string, PacketType> = new Map(
  (
    [
      "error",
      "credit",
      "keep-alive",
      "cancel",
      "handoff-start",
      "handoff-proceed",
      "close",
      "ping",
      "pong",
      "takeover",
      "resume",
      "mark",
      "leaving",
      "sync",
      "synced",
    ] as const
  ).map((one) => [one, one]),
);

function typeValue(text: string, from: number, to: number, type: number): PacketType {
  const value = TYPES.get(bytesValue("type", text, from, to, type));
  if (value === undefined) throw new Malformed("type: unknown");
  return value;
}

/** As our own processes write it. */
const EXT_OF_OURS = "5:multi,4:true!5:batch,4:true!";

function setExt(packet: Packet, text: string, from: number, to: number, type: number): void {
  // By far the most frequent value, as every process of every version writes it.
  if (to - from === 15 && type === CLOSE_MAP && text.startsWith("5:multi,4:true!", from)) {
    packet.multi = true;
    return;
  }
  if (to - from === 30 && type === CLOSE_MAP && text.startsWith(EXT_OF_OURS, from)) {
    packet.multi = true;
    packet.batch = true;
    return;
  }
  if (type === CLOSE_MAP && text.startsWith("2:at,", from)) {
    // Alone, as it is with every message that is passed on.
    const length = readLength(text, from + 5, to);
    if (cursor + length + 1 === to) {
      packet.at = integerValue("at", text, cursor, to - 1, text.charCodeAt(to - 1));
      return;
    }
  }
  const ext = mapValue("ext", text, from, to, type);
  packet.multi = ext.get("multi") === true;
  packet.batch = ext.get("batch") === true;
  const anchor = ext.get("anchor");
  if (typeof anchor === "string" && anchor.length <= ANCHOR_MAX_BYTES) packet.anchor = anchor; // Limit: ANCHOR_MAX_BYTES
  const at = ext.get("at");
  if (typeof at === "number" && at >= 0) packet.at = at;
  ext.delete("at");
  ext.delete("anchor");
  ext.delete("multi");
  ext.delete("batch");
  packet.ext = ext.size > 0 ? ext : undefined;
}

function headersValue(text: string, from: number, to: number, type: number): string[] {
  if (type !== CLOSE_LIST) throw new Malformed("headers: wrong type");
  const headers: string[] = [];
  for (let at = from; at < to; ) {
    const pairLength = readLength(text, at, to);
    const pairEnd = cursor + pairLength;
    if (pairEnd >= to || text.charCodeAt(pairEnd) !== CLOSE_LIST)
      throw malformed("headers: bad element");
    // Limit: PACKET_HEADERS_MAX fields; the packet is refused.
    if (headers.length >= 2 * PACKET_HEADERS_MAX) throw malformed("headers: too many");
    const nameLength = readLength(text, cursor, pairEnd);
    const nameStart = cursor;
    const nameEnd = nameStart + nameLength;
    const valueLength = readLength(text, nameEnd + 1, pairEnd);
    const valueEnd = cursor + valueLength;
    if (
      text.charCodeAt(nameEnd) !== COMMA ||
      text.charCodeAt(valueEnd) !== COMMA ||
      valueEnd + 1 !== pairEnd
    )
      throw malformed("headers: bad element");
    headers.push(text.substring(nameStart, nameEnd), text.substring(cursor, valueEnd));
    at = pairEnd + 1;
  }
  return headers;
}

function setId(packet: Packet, text: string, from: number, to: number, type: number): void {
  if (type === COMMA) {
    packet.id = text.substring(from, to);
    packet.ids = undefined;
    return;
  }
  if (type !== CLOSE_LIST) throw new Malformed("id: wrong type");
  const ids: IdEntry[] = [];
  for (let at = from; at < to; ) {
    const length = readLength(text, at, to);
    const end = cursor + length;
    if (end >= to || text.charCodeAt(end) !== CLOSE_MAP) throw new Malformed("id: bad entry");
    // Limit: ID_LIST_MAX sessions in one packet; the packet is refused.
    if (ids.length >= ID_LIST_MAX) throw new Malformed("id: too many entries");
    ids.push(idEntry(text, cursor, end));
    at = end + 1;
  }
  packet.ids = ids;
  packet.id = "";
}

function idEntry(text: string, from: number, to: number): IdEntry {
  let id: string | undefined;
  let seq: number | undefined;
  for (let at = from; at < to; ) {
    const keyLength = readLength(text, at, to);
    const keyStart = cursor;
    const keyEnd = keyStart + keyLength;
    if (keyEnd >= to || text.charCodeAt(keyEnd) !== COMMA) throw new Malformed("id: bad entry");
    const length = readLength(text, keyEnd + 1, to);
    const valueStart = cursor;
    const end = valueStart + length;
    if (end >= to) throw new Malformed("id: bad entry");
    const type = text.charCodeAt(end);
    if (keyLength === 2 && text.startsWith("id", keyStart))
      id = bytesValue("id", text, valueStart, end, type);
    else if (keyLength === 3 && text.startsWith("seq", keyStart))
      seq = integerValue("seq", text, valueStart, end, type);
    at = end + 1;
  }
  if (id === undefined) throw new Malformed("id: entry without id");
  return seq === undefined ? { id } : { id, seq };
}
