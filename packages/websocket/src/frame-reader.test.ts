import { randomBytes } from "node:crypto";
import { constants, createDeflateRaw, deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import {
  deflatePiece,
  encodeFrame,
  encodeMaskedFrame,
  FrameReader,
  Inflater,
  negotiateDeflate,
  OPCODE,
  Utf8Checker,
} from "./index.ts";

function reading(options: { maxBytes?: number; inflater?: Inflater; isServer?: boolean } = {}) {
  const seen: unknown[] = [];
  const reader = new FrameReader(
    {
      isServer: options.isServer ?? true,
      messageMaxBytes: options.maxBytes ?? 100_000,
      ...(options.inflater === undefined ? {} : { inflater: options.inflater }),
    },
    {
      onData: (piece, isBinary, last) =>
        seen.push([isBinary ? "binary" : "text", piece.toString("latin1"), last]),
      onPing: (payload) => seen.push(["ping", payload.toString()]),
      onPong: (payload) => seen.push(["pong", payload.toString()]),
      onClose: (code, reason) => seen.push(["close", code, reason.toString()]),
      onError: (code) => seen.push(["error", code]),
    },
  );
  return { reader, seen };
}

const agreed = (offer: string) => {
  const result = negotiateDeflate(offer);
  if (result.state !== "agreed") throw new Error(result.state);
  return result.agreement;
};

/** A client's frame with RSV1. */
function compressedFrame(payload: Buffer, fin = true): Buffer {
  const frame = encodeMaskedFrame(OPCODE.text, payload, fin);
  frame[0] = (frame[0] as number) | 0x40;
  return frame;
}

describe("given frames in pieces", () => {
  const text = "é€😀".repeat(500);
  const bytes = Buffer.from(text);
  const stream = Buffer.concat([
    encodeMaskedFrame(OPCODE.text, bytes.subarray(0, 1001), false),
    encodeMaskedFrame(OPCODE.ping, "p", true),
    encodeMaskedFrame(OPCODE.continuation, "", false),
    encodeMaskedFrame(OPCODE.continuation, bytes.subarray(1001), true),
    encodeMaskedFrame(OPCODE.binary, Buffer.alloc(70_000, 7), true),
  ]);

  test.each([1, 2, 3, 7, 100, 4093, 80_000])(
    "operations W5, W6: when they come %i bytes at a time, then all messages are whole",
    (size) => {
      const { reader, seen } = reading();
      for (let at = 0; at < stream.length; at += size)
        reader.receive(Buffer.from(stream.subarray(at, at + size)));
      const joined = (kind: string) =>
        seen
          .filter((one) => (one as unknown[])[0] === kind)
          .map((one) => (one as [string, string])[1])
          .join("");
      expect(Buffer.from(joined("text"), "latin1").toString()).toBe(text);
      expect(joined("binary")).toBe("\x07".repeat(70_000));
      expect(seen.filter((one) => (one as unknown[])[0] === "error")).toEqual([]);
      expect(seen).toContainEqual(["ping", "p"]);
      expect(seen.filter((one) => (one as unknown[])[2] === true)).toHaveLength(2);
    },
  );

  test("operations W5: when fragments come in one read, then each is passed on at once", () => {
    const { reader, seen } = reading();
    reader.receive(
      Buffer.concat([
        encodeMaskedFrame(OPCODE.text, "he", false),
        encodeMaskedFrame(OPCODE.continuation, "ll", false),
        encodeMaskedFrame(OPCODE.continuation, "o", true),
      ]),
    );
    expect(seen).toEqual([
      ["text", "he", false],
      ["text", "ll", false],
      ["text", "o", true],
    ]);
  });

  test("when a message grows beyond the limit by fragments, then it ends with 1009", () => {
    const { reader, seen } = reading({ maxBytes: 10 });
    reader.receive(encodeMaskedFrame(OPCODE.binary, "123456", false));
    reader.receive(encodeMaskedFrame(OPCODE.continuation, "123456", true));
    expect(seen.at(-1)).toEqual(["error", 1009]);
  });

  test("when a frame announces more than can be counted, then it ends with 1009 before a byte is kept", () => {
    const { reader, seen } = reading();
    reader.receive(Buffer.from("82ffffffffffffffffff", "hex"));
    expect(seen).toEqual([["error", 1009]]);
  });

  test("when anything follows a close, then it is not read", () => {
    const { reader, seen } = reading();
    reader.receive(
      Buffer.concat([
        encodeMaskedFrame(OPCODE.close, "", true),
        encodeMaskedFrame(OPCODE.text, "x", true),
      ]),
    );
    expect(seen).toEqual([["close", undefined, ""]]);
  });

  test("when random bytes come, then there is at most one error and nothing after it", () => {
    for (let round = 0; round < 300; round += 1) {
      const { reader, seen } = reading();
      for (let i = 0; i < 5; i += 1) reader.receive(randomBytes(40));
      const error = seen.findIndex((one) => (one as unknown[])[0] === "error");
      if (error >= 0) expect(error).toBe(seen.length - 1);
    }
  });
});

describe("given hostile frames", () => {
  const masked = (first: number, length: number, payload = "") =>
    Buffer.concat([
      Buffer.from([first, 0x80 | length, 0, 0, 0, 0]),
      Buffer.from(payload, "latin1"),
    ]);
  test.each([
    ["RSV1 without an agreement", masked(0xc1, 0), 1002],
    ["RSV2", masked(0xa1, 0), 1002],
    ["RSV3", masked(0x91, 0), 1002],
    ["opcode 3", masked(0x83, 0), 1002],
    ["opcode 7", masked(0x87, 0), 1002],
    ["opcode 11", masked(0x8b, 0), 1002],
    ["opcode 15", masked(0x8f, 0), 1002],
    ["a fragmented ping", masked(0x09, 0), 1002],
    ["a fragmented close", masked(0x08, 0), 1002],
    ["a ping of 126 bytes", masked(0x89, 126), 1002],
    ["a close of one byte", masked(0x88, 1, "x"), 1002],
    ["close 1004", masked(0x88, 2, "\x03\xec"), 1002],
    ["close 1005", masked(0x88, 2, "\x03\xed"), 1002],
    ["close 1006", masked(0x88, 2, "\x03\xee"), 1002],
    ["close 1015", masked(0x88, 2, "\x03\xf7"), 1002],
    ["close 999", masked(0x88, 2, "\x03\xe7"), 1002],
    ["close 2999", masked(0x88, 2, "\x0b\xb7"), 1002],
    ["close 5000", masked(0x88, 2, "\x13\x88"), 1002],
    ["a close reason that is not UTF-8", masked(0x88, 3, "\x03\xe8\xff"), 1007],
    ["a lone continuation", masked(0x80, 0), 1002],
    ["an unmasked frame", Buffer.from([0x81, 0x01, 0x61]), 1002],
    ["overlong UTF-8", masked(0x81, 2, "\xc0\xaf"), 1007],
    ["a surrogate", masked(0x81, 3, "\xed\xa0\x80"), 1007],
    ["a cut character at the end", masked(0x81, 2, "\xe2\x82"), 1007],
    ["a message inside a message", Buffer.concat([masked(0x01, 0), masked(0x81, 0)]), 1002],
    ["a bad character in an unfinished fragment", masked(0x01, 2, "a\xff"), 1007],
  ])("operations W8: when it is %s, then the code is right", (_, bytes, code) => {
    const { reader, seen } = reading();
    reader.receive(bytes);
    expect(seen.at(-1)).toEqual(["error", code]);
  });

  test("when a client gets a masked frame, then that is an error", () => {
    const { reader, seen } = reading({ isServer: false });
    reader.receive(encodeMaskedFrame(OPCODE.text, "x", true));
    expect(seen).toEqual([["error", 1002]]);
  });
});

describe("given texts cut anywhere", () => {
  test("when they are valid, then no cut matters", () => {
    const bytes = Buffer.from("aé€😀\u{10ffff}z");
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const checker = new Utf8Checker();
      expect(checker.accepts(bytes.subarray(0, cut), false)).toBe(true);
      expect(checker.accepts(bytes.subarray(cut), true)).toBe(true);
    }
  });

  test.each([
    "\xc0",
    "\xc1\x80",
    "\xe0\x9f",
    "\xed\xa0",
    "\xf0\x8f",
    "\xf4\x90",
    "\xf5",
    "\x80",
    "a\xffb",
  ])("when %j comes, then it is refused before the rest", (text) => {
    expect(new Utf8Checker().accepts(Buffer.from(text, "latin1"), false)).toBe(false);
  });
});

describe("given an offer of permessage-deflate", () => {
  test.each([
    ["permessage-deflate; client_max_window_bits", "permessage-deflate"],
    ["permessage-deflate", "permessage-deflate"],
    [
      "foo, permessage-deflate; client_no_context_takeover",
      "permessage-deflate; client_no_context_takeover",
    ],
    [
      "permessage-deflate; server_no_context_takeover; client_max_window_bits=10",
      "permessage-deflate; server_no_context_takeover",
    ],
    [
      "permessage-deflate; x=1, permessage-deflate; server_max_window_bits=15",
      "permessage-deflate",
    ],
    ['permessage-deflate; client_max_window_bits="12"', "permessage-deflate"],
  ])("operations W14: when it is %s, then the answer is %s", (offer, answer) => {
    expect(agreed(offer).answer).toBe(answer);
  });

  test.each([
    "permessage-deflate; server_max_window_bits=10",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; client_max_window_bits=7",
    "permessage-deflate; client_max_window_bits=16",
    "permessage-deflate; client_no_context_takeover=1",
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; unknown",
    "grip",
  ])("operations W15: when it is %s, then there is no extension", (offer) => {
    expect(negotiateDeflate(offer).state).toBe("none");
  });

  test.each([";;", "", "a b", "a;", "a; b=", "a,,b", 'a; b="x'])(
    "operations W16: when it is %j, then it is malformed",
    (offer) => {
      expect(negotiateDeflate(offer).state).toBe("malformed");
    },
  );
});

describe("given compressed messages", () => {
  test("when the client refers to its earlier messages, then they are understood", async () => {
    const inflater = new Inflater(agreed("permessage-deflate"));
    const { reader, seen } = reading({ inflater });
    const deflate = createDeflateRaw();
    const pack = (text: string) =>
      new Promise<Buffer>((resolve) => {
        const pieces: Buffer[] = [];
        const take = (piece: Buffer) => pieces.push(piece);
        deflate.on("data", take);
        deflate.write(text);
        deflate.flush(constants.Z_SYNC_FLUSH, () => {
          deflate.off("data", take);
          const all = Buffer.concat(pieces);
          resolve(all.subarray(0, all.length - 4));
        });
      });
    const texts = ["hello hello hello", "hello hello hello again", "x".repeat(50_000), "hello xxx"];
    for (const text of texts) {
      const packed = await pack(text);
      reader.receive(compressedFrame(packed.subarray(0, 3), false));
      reader.receive(encodeMaskedFrame(OPCODE.continuation, packed.subarray(3), true));
    }
    expect(seen).toEqual(texts.map((text) => ["text", text, true]));
  });

  test("when a small message unpacks to more than allowed, then it ends with 1009", () => {
    const inflater = new Inflater(agreed("permessage-deflate"), 1_000_000);
    const { reader, seen } = reading({ inflater });
    const bomb = deflateRawSync(Buffer.alloc(50_000_000), { finishFlush: constants.Z_SYNC_FLUSH });
    expect(bomb.length).toBeLessThan(100_000);
    reader.receive(compressedFrame(bomb.subarray(0, bomb.length - 4)));
    expect(seen).toEqual([["error", 1009]]);
  });

  test("when it is corrupt or holds bad UTF-8, then it ends with 1007", () => {
    const corrupt = reading({ inflater: new Inflater(agreed("permessage-deflate")) });
    corrupt.reader.receive(compressedFrame(Buffer.from("ffffffff", "hex")));
    const text = reading({ inflater: new Inflater(agreed("permessage-deflate")) });
    text.reader.receive(compressedFrame(deflatePiece("\xff", true)));
    expect([...corrupt.seen, ...text.seen]).toEqual([
      ["error", 1007],
      ["error", 1007],
    ]);
  });

  test("when a control or continuation frame claims to be compressed, then that is an error", () => {
    const { reader, seen } = reading({ inflater: new Inflater(agreed("permessage-deflate")) });
    const ping = encodeMaskedFrame(OPCODE.ping, "", true);
    ping[0] = (ping[0] as number) | 0x40;
    reader.receive(ping);
    expect(seen).toEqual([["error", 1002]]);
  });

  test("when we pack a message in pieces, then the whole unpacks", () => {
    const packed = [
      deflatePiece("hello ", false),
      deflatePiece("", false),
      deflatePiece("you", true),
    ];
    const result = new Inflater(agreed("permessage-deflate")).inflate(Buffer.concat(packed));
    expect(result.state === "ok" && result.payload.toString()).toBe("hello you");
    expect(encodeFrame(OPCODE.text, "x", true, true)[0]).toBe(0xc1);
  });
});
