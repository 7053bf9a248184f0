import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encode } from "@pushpin/tnetstrings";
import { joinFrames, RPC_BATCH_MAX, splitFrame } from "./envelope.ts";

describe("given frames with several requests", () => {
  const requests = Array.from({ length: RPC_BATCH_MAX }, (_, n) => encode({ id: `${n}`, body: "x".repeat(n * 40) }));

  test("when they are taken apart, then each is what it was", () => {
    expect(splitFrame(joinFrames(requests))).toEqual(requests);
    expect(splitFrame(requests[3] as Buffer)).toEqual([requests[3]]);
  });

  test("when there are more than may be, then the last holds all the rest", () => {
    const frames = splitFrame(joinFrames([...requests, ...requests]));
    expect(frames.length).toBe(RPC_BATCH_MAX);
    expect(frames.slice(0, -1)).toEqual(requests.slice(0, -1));
  });

  test("when it is anything at all, then nothing of it is lost", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), (bytes) => {
        const frame = Buffer.concat([Buffer.from("B"), bytes]);
        const parts = splitFrame(frame);
        expect(parts.length).toBeLessThanOrEqual(RPC_BATCH_MAX);
        expect(Buffer.concat(parts)).toEqual(frame.subarray(1));
      }),
    );
  });
});
