import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  decode,
  detach,
  encode,
  Encoded,
  encodeText,
  Fields,
  fromUtf8,
  type Tnet,
  toUtf8,
} from "./index.ts";

const byteString = fc
  .uint8Array({ maxLength: 40 })
  .map((bytes) => Buffer.from(bytes).toString("latin1"));
const { value } = fc.letrec<{ value: Tnet }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    byteString,
    fc.maxSafeInteger().map((n) => (Object.is(n, -0) ? 0 : n)),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.array(fc.tuple(byteString, tie("value")), { maxLength: 5 }).map((pairs) => new Map(pairs)),
  ) as fc.Arbitrary<Tnet>,
}));

describe("given any value", () => {
  test("when it is encoded and decoded, then it is the same", () => {
    fc.assert(
      fc.property(value, (one) => {
        expect(decode(encode(one))).toEqual({ ok: true, value: one });
        expect(encode(one).toString("latin1")).toBe(encodeText(one));
      }),
      { numRuns: 500 },
    );
  });
});

test.each([10, 10_000])("given %i bytes beside an element that is encoded already, when all is encoded, then it reads as if it were not", (bytes) => {
  const value = ["a", ["b", "c"]];
  const view = Buffer.alloc(bytes, 0x78);
  const plain = encode({ list: value, view });
  expect(encode({ list: new Encoded(encodeText(value)), view })).toEqual(plain);
});

describe("given the type table of wire.md 1.1", () => {
  test.each([
    ["5:hello,", "hello"],
    ["2:-5#", -5],
    ["3:1.5^", 1.5],
    ["4:true!", true],
    ["0:~", null],
    ["0:}", new Map()],
    ["8:1:a,1:b,]", ["a", "b"]],
    ["8:1:a,1:1#}", new Map([["a", 1]])],
  ])("when %s is decoded, then the value is right", (text, expected) => {
    expect(decode(text)).toEqual({ ok: true, value: expected });
  });

  test("when a key comes twice, then the last one wins, and bytes after the element are ignored", () => {
    expect(decode("16:1:a,1:1#1:a,1:2#}garbage")).toEqual({ ok: true, value: new Map([["a", 2]]) });
  });

  test("when a long byte string is decoded, then it is a view into the input", () => {
    const input = encode("x".repeat(10_000));
    const decoded = decode(input);
    expect(
      decoded.ok && decoded.value instanceof Uint8Array && decoded.value.buffer === input.buffer,
    ).toBe(true);
  });
});

describe("given malformed input", () => {
  test.each([
    "",
    "5",
    "5:",
    "5:abc,",
    "a:,",
    ":,",
    "1:ab",
    "99999999999:a,",
    "1:x#",
    "4:trux!",
    "1: ~",
    "3:1:a}",
    "2:1#}",
    "3:0:~}",
  ])("when %j is decoded, then it is an error", (text) => {
    expect(decode(text).ok).toBe(false);
    expect(decode(Buffer.from(text)).ok).toBe(false);
  });

  test("when it is nested deeper than 64, then it is refused", () => {
    let text = "0:]";
    for (let i = 0; i < 70; i += 1) text = `${text.length}:${text}]`;
    expect(decode(text)).toEqual({ ok: false, error: expect.stringContaining("too deep") });
  });

  test("when it holds more elements than allowed, then it is refused", () => {
    expect(decode(encode(["a", "b", "c"]), { maxElements: 3 }).ok).toBe(false);
  });

  test("when a million random or mutated inputs are decoded, then none throws", () => {
    const seeds = [
      encode({ a: [1, true, null, "x"], b: { c: "d" } }),
      encode(["x".repeat(50)]),
      encode(5),
    ];
    let state = 12345;
    const random = (n: number) => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return state % n;
    };
    let accepted = 0;
    for (let i = 0; i < 1_000_000; i += 1) {
      const input = Buffer.from(seeds[i % 3] as Buffer);
      for (let n = random(3); n >= 0; n -= 1) input[random(input.length)] = random(256);
      if (decode(input.subarray(0, 1 + random(input.length))).ok) accepted += 1;
    }
    expect(accepted).toBeGreaterThan(0);
  });
});

describe("given a reader over a map", () => {
  test("when a field has another type, then the first error names its path", () => {
    const fields = new Fields(
      new Map<string, Tnet>([
        ["seq", "x1"],
        ["id", 4],
      ]),
      "rid",
    );
    expect(fields.integer("seq")).toBeUndefined();
    expect(fields.text("id")).toBeUndefined();
    expect(fields.error).toBe("rid.seq: expected an integer");
  });

  test("when an integer comes as digits, then it is taken", () => {
    expect(new Fields(new Map([["seq", "12"]]), "p").integer("seq")).toBe(12);
  });
});

test("given text beyond ASCII, when it is turned to a byte string and back, then it is the same", () => {
  expect(fromUtf8("café").length).toBe(5);
  expect(toUtf8(fromUtf8("café ☃"))).toBe("café ☃");
  expect(detach("a long enough byte string")).toBe("a long enough byte string");
});
