import { describe, expect, test } from "vitest";
import {
  acceptKey,
  closePayload,
  encodeFrame,
  encodeMaskedFrame,
  isSendableCloseCode,
  MessageReceiver,
  OPCODE,
} from "./index.ts";

function receiver(isServer: boolean, maxBytes = 1000) {
  const seen: unknown[] = [];
  const one = new MessageReceiver(isServer, maxBytes, {
    onMessage: (payload, isBinary) =>
      seen.push([isBinary ? "binary" : "text", payload.toString("latin1")]),
    onPing: (payload) => seen.push(["ping", payload.toString()]),
    onPong: (payload) => seen.push(["pong", payload.toString()]),
    onClose: (code, reason) => seen.push(["close", code, reason.toString()]),
    onError: (code) => seen.push(["error", code]),
  });
  return { one, seen };
}

test("operations W1: given the sample key of RFC 6455, when it is answered, then the accept value is the RFC's", () => {
  expect(acceptKey("dGhlIHNhbXBsZSBub25jZQ==")).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
});

describe("given frames of a client", () => {
  test("operations W6: when a ping comes between fragments, then both it and the message are delivered", () => {
    const { one, seen } = receiver(true);
    one.receive(
      Buffer.concat([
        encodeMaskedFrame(OPCODE.text, "he", false),
        encodeMaskedFrame(OPCODE.ping, "pp", true),
        encodeMaskedFrame(OPCODE.continuation, "y", true),
      ]),
    );
    expect(seen).toEqual([
      ["ping", "pp"],
      ["text", "hey"],
    ]);
  });

  test("when it closes with and without a code, then both are told apart", () => {
    const { one, seen } = receiver(true);
    one.receive(encodeMaskedFrame(OPCODE.close, closePayload(1001, "bye"), true));
    const other = receiver(true);
    other.one.receive(encodeMaskedFrame(OPCODE.close, "", true));
    expect([...seen, ...other.seen]).toEqual([
      ["close", 1001, "bye"],
      ["close", undefined, ""],
    ]);
  });

  test.each([
    ["unmasked", encodeFrame(OPCODE.text, "x", true), 1002],
    ["bad UTF-8", encodeMaskedFrame(OPCODE.text, "\xff", true), 1007],
    ["reserved opcode", encodeMaskedFrame(3 as 1, "x", true), 1002],
    ["continuation without a start", encodeMaskedFrame(OPCODE.continuation, "x", true), 1002],
    [
      "a close code that must not be sent",
      encodeMaskedFrame(OPCODE.close, closePayload(1005, ""), true),
      1002,
    ],
    ["a message above the limit", encodeMaskedFrame(OPCODE.binary, "x".repeat(2000), true), 1009],
  ])(
    "operations W8: when it sends %s, then it is closed with the code for that",
    async (_, frame, code) => {
      const { one, seen } = receiver(true);
      one.receive(frame);
      await new Promise((resolve) => setImmediate(resolve));
      expect(seen).toEqual([["error", code]]);
    },
  );
});

describe("given frames to a client", () => {
  test("operations W11: when a text is sent, then its bytes are those of the RFC", () => {
    expect(encodeFrame(OPCODE.text, "hey", true).toString("hex")).toBe("8103686579");
    expect(encodeFrame(OPCODE.binary, Buffer.alloc(200), true).subarray(0, 4).toString("hex")).toBe(
      "827e00c8",
    );
    expect(
      encodeFrame(OPCODE.binary, Buffer.alloc(70_000), true).subarray(0, 10).toString("hex"),
    ).toBe("827f0000000000011170");
  });

  test("handler D19: when a reason is too long, then it is cut between characters", () => {
    const payload = closePayload(4000, Buffer.from("é".repeat(100)));
    expect(payload.length).toBe(124);
    expect(payload.subarray(2).toString()).toBe("é".repeat(61));
    expect(isSendableCloseCode(1005)).toBe(false);
  });
});
