import { randomFillSync } from "node:crypto";

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
export type Opcode = (typeof OPCODE)[keyof typeof OPCODE];

/** Limit: payload of a control frame, by RFC 6455. */
export const CONTROL_MAX_BYTES = 125;

type Bytes = string | Uint8Array;

/**
 * One frame as bytes, unmasked: built once, it serves any number of clients. `payload` text is a
 * byte string. `isCompressed` marks the first frame of a message packed with permessage-deflate.
 */
export function encodeFrame(
  opcode: Opcode,
  payload: Bytes,
  fin: boolean,
  isCompressed = false,
): Buffer {
  const header = headerBytes(payload.length);
  const frame = Buffer.allocUnsafe(header + payload.length);
  writeHeader(frame, isCompressed ? opcode | 0x40 : opcode, payload.length, fin, 0);
  copyPayload(frame, header, payload);
  return frame;
}

/** The same as a client must send it: masked with a fresh key. */
export function encodeMaskedFrame(opcode: Opcode, payload: Bytes, fin: boolean): Buffer {
  const header = headerBytes(payload.length);
  const frame = Buffer.allocUnsafe(header + 4 + payload.length);
  writeHeader(frame, opcode, payload.length, fin, 0x80);
  const mask = randomFillSync(Buffer.allocUnsafe(4));
  mask.copy(frame, header);
  const start = header + 4;
  copyPayload(frame, start, payload);
  for (let i = 0; i < payload.length; i += 1)
    frame[start + i] = (frame[start + i] as number) ^ (mask[i & 3] as number);
  return frame;
}

/** Payload of a close frame; no code, no payload. The reason is cut where a control frame ends. */
export function closePayload(code: number | undefined, reason: Bytes): Buffer {
  if (code === undefined) return Buffer.alloc(0);
  let text = typeof reason === "string" ? Buffer.from(reason, "latin1") : Buffer.from(reason);
  if (text.length > CONTROL_MAX_BYTES - 2) {
    let end = CONTROL_MAX_BYTES - 2;
    while (end > 0 && ((text[end] as number) & 0xc0) === 0x80) end -= 1; // not inside a character
    text = text.subarray(0, end);
  }
  const payload = Buffer.allocUnsafe(2 + text.length);
  payload.writeUInt16BE(code, 0);
  text.copy(payload, 2);
  return payload;
}

function headerBytes(length: number): number {
  if (length < 126) return 2;
  return length < 65_536 ? 4 : 10;
}

function writeHeader(
  frame: Buffer,
  opcode: number,
  length: number,
  fin: boolean,
  maskBit: number,
): void {
  frame[0] = (fin ? 0x80 : 0) | opcode;
  if (length < 126) frame[1] = maskBit | length;
  else if (length < 65_536) {
    frame[1] = maskBit | 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = maskBit | 127;
    frame.writeUInt32BE(Math.floor(length / 2 ** 32), 2);
    frame.writeUInt32BE(length >>> 0, 6);
  }
}

function copyPayload(frame: Buffer, at: number, payload: Bytes): void {
  if (typeof payload === "string") frame.write(payload, at, "latin1");
  else frame.set(payload, at);
}
