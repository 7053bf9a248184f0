import { describe, expect, test } from "vitest";
import { decodePublishMessage, fromJson, parseInstruct, parseItem } from "./index.ts";

const parse = (...headers: string[]) =>
  parseInstruct({ code: 200, reason: "OK", headers, body: "x" });

describe("given instructions in headers", () => {
  test("handler R13, R14: when channels are listed, then names, prev-ids and filters are right", () => {
    const result = parse(
      "Grip-Hold",
      "response",
      "Grip-Channel",
      "apple; prev-id=item1; filter=f1",
      "grip-channel",
      "banana, cherry; filter=f1; filter=f2",
      "Grip-Timeout",
      "120",
    );
    expect(result).toMatchObject({
      ok: true,
      value: {
        hold: "response",
        timeoutS: 120,
        channels: [
          { name: "apple", prevId: "item1", filters: ["f1"] },
          { name: "banana", prevId: undefined },
          { name: "cherry", filters: ["f1", "f2"] },
        ],
      },
    });
  });

  test("handler R2, R3, R9: when status and exposed headers are given, then the response is changed and Grip headers go", () => {
    expect(
      parse(
        "X-A",
        "1",
        "X-B",
        "2",
        "Grip-Expose-Headers",
        "X-A",
        "Grip-Status",
        "404 Nothing To See Here",
      ),
    ).toMatchObject({
      value: { response: { code: 404, reason: "Nothing To See Here", headers: ["X-A", "1"] } },
    });
  });

  test.each([
    [
      "handler R7",
      ["Grip-Hold", "Response"],
      "Grip-Hold must be set to either 'response' or 'stream'",
    ],
    ["handler R8", ["Grip-Timeout", "x"], "failed to parse Grip-Timeout"],
    ["handler R5", ["Grip-Status", "1000"], "Grip-Status contains invalid status code"],
    ["handler 2.4", ["Grip-Keep-Alive", "x; format=zip"], "no such Grip-Keep-Alive format 'zip'"],
  ])("%s: when the headers are %j, then the error is %s", (_, headers, error) => {
    expect(parse(...headers)).toEqual({ ok: false, error });
  });

  test.each([
    ["ping1\\n; timeout=10", { data: "ping1\\n", timeoutS: 10, mode: "idle" }],
    ["ping2\\n; format=cstring", { data: "ping2\n" }],
    ["cGluZzMK; format=base64", { data: "ping3\n" }],
    ["ping4\\n; mode=interval", { data: "ping4\\n", mode: "interval" }],
  ])("handler R15, R16: when the keep-alive is %j, then it is %j", (text, expected) => {
    expect(parse("Grip-Keep-Alive", text)).toMatchObject({
      ok: true,
      value: { keepAlive: expected },
    });
  });
});

describe("given published items", () => {
  const json = (value: unknown) => parseItem(fromJson(value), true);

  test("handler R29, R31: when code is text and the body base64, then both are converted", () => {
    expect(
      json({
        channel: "c",
        formats: { "http-response": { code: "201", "body-bin": "aGV!sbG8=", headers: { A: "b" } } },
      }),
    ).toMatchObject({
      ok: true,
      value: { httpResponse: { code: 201, reason: "Created", body: "hello", headers: ["A", "b"] } },
    });
  });

  test.each([
    ["handler R114", { channel: "c", id: 5 }, "publish item object contains 'id' with wrong type"],
    ["handler R113", { channel: "c" }, "no formats specified"],
    [
      "handler R115",
      { channel: "c", "http-stream": { action: "foo" } },
      "'http-stream' contains 'action' with unknown value",
    ],
    ["handler 7.1", { formats: {} }, "publish item object does not contain 'channel'"],
    [
      "handler 7.2",
      { channel: "c", "http-stream": {} },
      "'http-stream' does not contain 'content' or 'content-bin'",
    ],
  ])("%s: when the item is %j, then the error is %j", (_, item, error) => {
    expect(json(item)).toEqual({ ok: false, error });
  });

  test("handler R117, R118: when a message is T, J, bare or garbage, then it is read or refused", () => {
    const bare = "48:7:channel,1:c,11:http-stream,15:7:content,2:hi,}}";
    const sized = `${bare.length - 4}${bare.slice(2)}`;
    for (const text of [sized, `T${sized}`, 'J{"channel":"c","http-stream":{"content":"hi"}}'])
      expect(decodePublishMessage(Buffer.from(text))).toMatchObject({
        ok: true,
        value: [{ channel: "c", httpStream: { content: "hi" } }],
      });
    for (const text of ["{}", "J{", "9999:x,", ""])
      expect(decodePublishMessage(Buffer.from(text)).ok).toBe(false);
  });
});
