import { toByteString } from "@pushpin/tnetstrings";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  extentOf,
  pieceAfter,
  RetainedStream,
  STREAM_RETAINED_MAX_BYTES,
  STREAM_RETAINED_MAX_PIECES,
  type StreamPiece,
} from "./retained-stream.ts";

const data = (body: string, more = false): StreamPiece => ({
  type: "data",
  contentType: "text",
  body,
  more,
});
const ping = (body: string): StreamPiece => ({ type: "ping", contentType: "", body, more: false });

function stream(...pieces: StreamPiece[]): RetainedStream {
  const kept = new RetainedStream(0, false);
  for (const piece of pieces) kept.add(piece);
  return kept;
}

const bodies = (pieces: readonly StreamPiece[] | undefined) =>
  pieces?.map((one) => toByteString(one.body));

describe("given messages kept until they are credited", () => {
  test("when a part of one is credited, then the rest of it is kept, and begins in its middle", () => {
    const kept = stream(data("abc", true), data("def"), data("g"));
    kept.credited(4);
    expect([kept.start, kept.isMid]).toEqual([4, true]);
    expect(bodies(kept.take(0))).toEqual(["ef", "g"]);
  });

  test("when the receiver has more than it has credited, then that is left out", () => {
    const kept = stream(data("abc"), ping("p"), data("", false), data("def"));
    expect(bodies(kept.take(6))).toEqual(["", "def"]);
    expect([kept.start, kept.isMid, kept.isEmpty]).toEqual([6, false, true]);
    const other = stream(data("abc"), data("def"));
    expect(bodies(other.take(5))).toEqual(["ef"]);
    expect([other.start, other.isMid]).toEqual([5, true]);
  });

  test("when a ping stands between the fragments of a message, then what follows is within the message still", () => {
    const kept = stream(data("ab", true), ping("p"), data("cd"));
    kept.credited(3);
    expect([kept.start, kept.isMid]).toEqual([4, true]);
  });

  test("when more is on the way than is kept, then nobody goes on with it before that is credited", () => {
    const large = "x".repeat(STREAM_RETAINED_MAX_BYTES);
    const kept = stream(data("abc"), data(large));
    expect(stream(data("abc"), data(large)).take(0)).toBeUndefined();
    kept.credited(3);
    expect(kept.take(0)?.length).toBe(1);
  });

  test("when empty messages come without end, then their number is bounded", () => {
    const kept = stream();
    for (let i = 0; i < STREAM_RETAINED_MAX_PIECES + 5; i += 1) kept.add(data(""));
    expect(kept.start).toBe(5);
    expect(kept.take(4)).toBeUndefined();
    expect(kept.take(5)?.length).toBe(STREAM_RETAINED_MAX_PIECES);
  });
});

test("given any pieces, when they are cut anywhere, then both parts together are the whole", () => {
  const piece = fc.record({
    type: fc.constant("data"),
    contentType: fc.constant("text"),
    body: fc.string({ unit: "binary-ascii", maxLength: 5 }),
    more: fc.boolean(),
  }) as fc.Arbitrary<StreamPiece>;
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), fc.nat(40), fc.nat(40), (pieces, credited, at) => {
      fc.pre(!pieces.some(({ body, more }) => body.length === 0 && more));
      const kept = stream(...pieces);
      kept.credited(credited);
      const all = pieces.reduce((sum, one) => sum + extentOf(one), 0);
      const rest = kept.take(at) ?? [];
      const left = rest.reduce((sum, one) => sum + extentOf(one), 0);
      expect(kept.start + left).toBe(all);
      let skip = kept.start;
      const expected: StreamPiece[] = [];
      for (const one of pieces) {
        const after = pieceAfter(one, skip);
        skip = Math.max(0, skip - extentOf(one));
        if (after !== undefined) expected.push(after);
      }
      expect(rest).toEqual(expected);
    }),
  );
});
