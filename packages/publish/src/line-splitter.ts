import { ContentError } from "./item.ts";

/** Limit: one line of `--lines`; a longer one ends the command. Unit: bytes. */
export const LINE_MAX_BYTES = 10_000_000;

const LF = 0x0a;
const CR = 0x0d;

/** The lines of a stream as bytes, without their breaks (LF or CRLF). The last needs none. */
export async function* splitLines(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const piece of pieces) {
    let from = 0;
    for (let at = piece.indexOf(LF); at >= 0; at = piece.indexOf(LF, from)) {
      yield withoutReturn(Buffer.concat([...rest, piece.subarray(from, at)]));
      rest = [];
      restBytes = 0;
      from = at + 1;
    }
    rest.push(piece.subarray(from));
    restBytes += piece.length - from;
    // Limit: LINE_MAX_BYTES
    if (restBytes > LINE_MAX_BYTES)
      throw new ContentError(`a line is longer than ${LINE_MAX_BYTES} bytes`);
  }
  if (restBytes > 0) yield withoutReturn(Buffer.concat(rest));
}

function withoutReturn(line: Buffer): Buffer {
  return line[line.length - 1] === CR ? line.subarray(0, -1) : line;
}
