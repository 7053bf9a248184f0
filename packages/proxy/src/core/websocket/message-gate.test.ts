import { describe, expect, test } from "vitest";
import { parseGripExtension } from "@pushpin/grip";
import { MessageGate } from "./message-gate.ts";
import type { MessageType } from "./socket-ports.ts";

type Frame = readonly [MessageType, string, boolean?];

/** What becomes of the frames of a backend: `client:`, `handler:` or nothing. */
function through(prefix: string, ...frames: readonly Frame[]): string[] {
  const gate = new MessageGate(prefix);
  return frames.flatMap(([type, body, more = false]) => {
    const passed = gate.next(type, body, more);
    if (passed.action === "drop") return [];
    return [`${passed.action === "pass" ? "client" : "handler"}:${String(passed.body)}`];
  });
}

describe("given messages of a backend that speaks GRIP", () => {
  test("proxy R110, handler R94: when they have the prefix, then the client gets them without it", () => {
    expect(
      through("m:", ["text", "m:hi"], ["text", "unprefixed"], ["text", "m:"], ["text", "M:y"]),
    ).toEqual(["client:hi", "client:"]);
    expect(through("m:", ["binary", "m:y"])).toEqual(["client:y"]);
  });

  test("proxy R111: when one is fragmented, then its pieces follow the first", () => {
    expect(through("m:", ["text", "m:aa", true], ["text", "bb", true], ["text", "cc"])).toEqual([
      "client:aa",
      "client:bb",
      "client:cc",
    ]);
  });

  test("proxy R112: when a fragmented one has no prefix, then nothing of it passes", () => {
    expect(through("m:", ["text", "xx", true], ["text", "m:yy"], ["text", "m:z"])).toEqual([
      "client:z",
    ]);
  });

  test("proxy R113: when a control message is fragmented, then it is ignored whole", () => {
    expect(through("m:", ["text", 'c:{"type":', true], ["text", '"x"}'], ["text", "c:{}"])).toEqual([
      "handler:{}",
    ]);
  });

  test("proxy R114, handler R95: when the prefix is empty, then everything passes but control", () => {
    expect(through("", ["text", "plain"], ["text", "m:hi"], ["text", "c:{}"])).toEqual([
      "client:plain",
      "client:m:hi",
      "handler:{}",
    ]);
  });

  test("handler R94: when control comes as binary, then it is a message like others", () => {
    expect(through("", ["binary", "c:{}"])).toEqual(["client:c:{}"]);
  });
});

describe("given the extensions a backend accepts", () => {
  test.each([
    ["grip", "m:"],
    ["foo, grip", "m:"],
    ['grip; message-prefix=""', ""],
    ["grip; message-prefix=x-", "x-"],
  ])("proxy R114, R116: when they are %j, then the prefix is %j", (value, prefix) => {
    expect(parseGripExtension([value])?.messagePrefix).toBe(prefix);
  });

  test.each(["", "foo", "grip; message-prefix=", "gripped"])(
    "proxy R115, handler R96: when they are %j, then messages pass as they are",
    (value) => {
      expect(parseGripExtension([value])).toBeUndefined();
    },
  );
});
