import { PREFETCH_BYTES } from "@pushpin/zhttp";
import { describe, expect, test } from "vitest";
import { BODIES_KEPT_MAX_BYTES, BODY_KEPT_MAX_BYTES, KeptBody } from "./kept-body.ts";

const bytes = (length: number) => Buffer.alloc(length, "x");

describe("given the body of a request that is kept", () => {
  test("when it is complete, then all of it is there, and it is counted until it is released", () => {
    const total = { keptBytes: 0 };
    const body = new KeptBody(total, true);
    expect(body.add(Buffer.from("ab"), true)).toBe(true);
    expect(body.add(Buffer.from("c"), false)).toBe(true);
    expect(Buffer.concat(body.pieces).toString()).toBe("abc");
    expect([body.isComplete, total.keptBytes]).toEqual([true, 3]);
    body.release();
    body.release();
    expect(total.keptBytes).toBe(0);
  });

  test("when it grows too long, then nothing of it is kept", () => {
    const total = { keptBytes: 0 };
    const body = new KeptBody(total, true);
    expect(body.add(bytes(BODY_KEPT_MAX_BYTES), true)).toBe(true);
    expect(body.add(bytes(1), true)).toBe(false);
    expect([body.bytes, total.keptBytes]).toEqual([0, 0]);
  });

  test("when those of all requests take too much, then it is not kept", () => {
    const total = { keptBytes: BODIES_KEPT_MAX_BYTES - 1 };
    const body = new KeptBody(total, true);
    expect(body.add(bytes(1), true)).toBe(true);
    expect(body.add(bytes(1), true)).toBe(false);
    expect(total.keptBytes).toBe(BODIES_KEPT_MAX_BYTES - 1);
  });

  test("when the method may be repeated, then it may at any time", () => {
    expect(new KeptBody({ keptBytes: 0 }, true).mayRepeat(PREFETCH_BYTES, true)).toBe(true);
  });

  test.each([
    [0, false, true],
    [PREFETCH_BYTES - 1, false, true],
    [PREFETCH_BYTES, false, false],
    [1, true, false],
  ])(
    "when the method may not be repeated, %i bytes were sent and the end of it (%s), then %s",
    (sent, isAllSent, mayRepeat) => {
      expect(new KeptBody({ keptBytes: 0 }, false).mayRepeat(sent, isAllSent)).toBe(mayRepeat);
    },
  );
});
