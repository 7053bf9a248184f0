import {
  type Bytes,
  ByteWriter,
  encodeByteString,
  encodeText,
  lengthPrefix,
} from "@pushpin/tnetstrings";
import type { IdEntry, Packet } from "./packet.ts";

/** One packet in a frame of its own: `T` and the tnetstring. */
export function encodePacket(packet: Packet): Buffer {
  const writer = new ByteWriter();
  writer.add("T");
  writePacket(writer, packet);
  return writer.take();
}

/**
 * Limit: a shorter body stands in its frame; this and longer ones go as a part of their own to peers that
 * take such, and so are not copied. Unit: bytes.
 */
export const PART_MIN_BYTES = 8192;

/**
 * The tnetstring alone, without a letter in front; several of them make a `B` frame. With `parts` a large body is
 * added there, and the packet names its size only (docs/wire/batches.md).
 */
export function writePacket(writer: ByteWriter, packet: Packet, parts?: Uint8Array[]): void {
  const head = encodeFields(packet);
  const body = packet.body;
  if (body.length === 0) {
    writer.add(`${lengthPrefix(head.length)}${head}}`);
    return;
  }
  // Limit: PART_MIN_BYTES
  if (parts !== undefined && typeof body !== "string" && body.length >= PART_MIN_BYTES) {
    const size = `9:body-size,${encodeInteger(body.length)}`;
    writer.add(`${lengthPrefix(head.length + size.length)}${head}${size}}`);
    parts.push(body);
    return;
  }
  const bodyHead = `4:body,${lengthPrefix(body.length)}`;
  const size = head.length + bodyHead.length + body.length + 1;
  if (typeof body === "string") {
    writer.add(`${lengthPrefix(size)}${head}${bodyHead}${body},}`);
    return;
  }
  writer.add(`${lengthPrefix(size)}${head}${bodyHead}`);
  writer.add(body as Bytes);
  writer.add(",}");
}

/** Everything but the body, which always comes last so that what precedes it is one string. */
function encodeFields(packet: Packet): string {
  let out = "";
  if (packet.from !== "") out += `4:from,${encodeByteString(packet.from)}`;
  if (packet.ids !== undefined) out += `2:id,${encodeIdList(packet.ids)}`;
  else {
    if (packet.id !== "") out += `2:id,${encodeByteString(packet.id)}`;
    if (packet.seq !== undefined) out += `3:seq,${encodeInteger(packet.seq)}`;
  }
  if (packet.ext !== undefined || packet.anchor !== undefined || packet.at !== undefined)
    out += `3:ext,${encodeExt(packet)}`;
  else if (packet.multi) out += packet.batch ? EXT_MULTI_BATCH : EXT_MULTI;
  else if (packet.batch) out += `3:ext,${encodeExt(packet)}`;
  if (packet.type !== "data") out += `4:type,${encodeByteString(packet.type)}`;
  if (packet.condition !== "") out += `9:condition,${encodeByteString(packet.condition)}`;
  if (packet.method !== "") out += `6:method,${encodeByteString(packet.method)}`;
  if (packet.uri !== "") out += `3:uri,${encodeByteString(packet.uri)}`;
  if (packet.code !== undefined) out += `4:code,${encodeInteger(packet.code)}`;
  // A response start carries all three, also where reason or headers are empty.
  if (packet.reason !== "" || (packet.code !== undefined && packet.headers !== undefined))
    out += `6:reason,${encodeByteString(packet.reason)}`;
  if (packet.headers !== undefined) out += `7:headers,${encodeHeaders(packet.headers)}`;
  if (packet.credits > 0) out += `7:credits,${encodeInteger(packet.credits)}`;
  if (packet.more) out += "4:more,4:true!";
  if (packet.stream) out += "6:stream,4:true!";
  if (packet.routerResp) out += "11:router-resp,4:true!";
  if (packet.contentType !== "") out += `12:content-type,${encodeByteString(packet.contentType)}`;
  return out + encodeRareFields(packet);
}

function encodeRareFields(packet: Packet): string {
  let out = "";
  if (packet.peerAddress !== "") out += `12:peer-address,${encodeByteString(packet.peerAddress)}`;
  if (packet.peerPort !== 0) out += `9:peer-port,${encodeInteger(packet.peerPort)}`;
  if (packet.connectHost !== "") out += `12:connect-host,${encodeByteString(packet.connectHost)}`;
  if (packet.connectPort !== 0) out += `12:connect-port,${encodeInteger(packet.connectPort)}`;
  if (packet.ignorePolicies) out += "15:ignore-policies,4:true!";
  if (packet.trustConnectHost) out += "18:trust-connect-host,4:true!";
  if (packet.ignoreTlsErrors) out += "17:ignore-tls-errors,4:true!";
  if (packet.followRedirects) out += "16:follow-redirects,4:true!";
  if (packet.clientCert !== "") out += `11:client-cert,${encodeByteString(packet.clientCert)}`;
  if (packet.clientKey !== "") out += `10:client-key,${encodeByteString(packet.clientKey)}`;
  if (packet.maxSize !== undefined) out += `8:max-size,${encodeInteger(packet.maxSize)}`;
  if (packet.timeoutMs !== undefined) out += `7:timeout,${encodeInteger(packet.timeoutMs)}`;
  if (packet.userData !== undefined) out += `9:user-data,${packet.userData}`;
  if (packet.passthrough !== undefined) out += `11:passthrough,${encodeText(packet.passthrough)}`;
  return out;
}

function encodeInteger(value: number): string {
  const digits = String(value);
  return `${lengthPrefix(digits.length)}${digits}#`;
}

/** The two that almost every first packet has. */
const EXT_MULTI = "3:ext,15:5:multi,4:true!}";
const EXT_MULTI_BATCH = "3:ext,30:5:multi,4:true!5:batch,4:true!}";

function encodeExt(packet: Packet): string {
  let out = "";
  if (packet.multi) out += "5:multi,4:true!";
  if (packet.batch) out += "5:batch,4:true!";
  if (packet.anchor !== undefined) out += `6:anchor,${encodeByteString(packet.anchor)}`;
  if (packet.at !== undefined) out += `2:at,${encodeInteger(packet.at)}`;
  if (packet.ext !== undefined) {
    for (const [key, value] of packet.ext) out += encodeByteString(key) + encodeText(value);
  }
  return `${lengthPrefix(out.length)}${out}}`;
}

function encodeHeaders(headers: readonly string[]): string {
  let out = "";
  // Short pieces are joined first: each is one copy, and the long text grows in few steps.
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    const value = headers[i + 1] as string;
    const namePrefix = lengthPrefix(name.length);
    const valuePrefix = commaLengthPrefix(value.length);
    const size = namePrefix.length + name.length + valuePrefix.length + value.length + 1;
    out += lengthPrefix(size) + namePrefix;
    out += name;
    out += valuePrefix;
    out += value;
    out += ",]";
  }
  return `${lengthPrefix(out.length)}${out}]`;
}

/** `,<n>:` for small n, prebuilt. */
const COMMA_PREFIXES = Array.from({ length: 1024 }, (_, n) => `,${n}:`);

function commaLengthPrefix(n: number): string {
  return n < 1024 ? (COMMA_PREFIXES[n] as string) : `,${n}:`;
}

function encodeIdList(ids: readonly IdEntry[]): string {
  let out = "";
  for (const { id, seq } of ids) {
    const tail = seq === undefined ? ",}" : seqTail(seq);
    out += idHead(id.length, tail.length);
    out += id;
    out += tail;
  }
  return `${lengthPrefix(out.length)}${out}]`;
}

/** Lengths that are looked up; longer ones are rare. */
const ID_LENGTHS = 64;
const TAIL_LENGTHS = 32;
const ID_HEADS: (string | undefined)[] = [];

/** `<size>:2:id,<n>:`, the same for most entries of a list. */
function idHead(idLength: number, tailLength: number): string {
  const prefix = lengthPrefix(idLength);
  // The closing brace at the end of the tail is not counted.
  const size = 5 + prefix.length + idLength + tailLength - 1;
  if (idLength >= ID_LENGTHS || tailLength >= TAIL_LENGTHS)
    return `${lengthPrefix(size)}2:id,${prefix}`;
  return (ID_HEADS[idLength * TAIL_LENGTHS + tailLength] ??= `${lengthPrefix(size)}2:id,${prefix}`);
}

const SEQ_TAILS = Array.from({ length: 4096 }, (_, seq) => `,3:seq,${encodeInteger(seq)}}`);

function seqTail(seq: number): string {
  return SEQ_TAILS[seq] ?? `,3:seq,${encodeInteger(seq)}}`;
}
