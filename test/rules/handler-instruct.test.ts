import { parseInstruct } from "@pushpin/grip";
import { describe, expect, test } from "vitest";
import { HandlerRig } from "./handler-rig.ts";

const TEXT = ["Content-Type", "text/plain"];
const channel = (name = "c") => ["Grip-Channel", name];
const json = (value: object, code = 200) => ({
  headers: ["Content-Type", "application/grip-instruct"],
  body: JSON.stringify(value),
  code,
});
/** An instruct of headers only, parsed. */
const parse = (headers: readonly string[]) => {
  const parsed = parseInstruct({ code: 200, reason: "OK", headers: [...headers], body: "" });
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};

describe("given a response that holds nothing", () => {
  const rig = new HandlerRig();

  test("handler R1: when it has only channels, then it passes without Grip headers", () => {
    const response = rig.response({ headers: [...TEXT, ...channel()], body: "hello world" });
    expect(response).toMatchObject({ code: 200, body: "hello world" });
    expect(response.headers).toEqual(TEXT);
  });

  test.each([
    ["404", 404, "Not Found", "R2"],
    ["404 Nothing To See Here", 404, "Nothing To See Here", "R3"],
    ["999", 999, "Undefined Reason", "R4"],
  ])("handler R2, R3, R4: when Grip-Status is %s, then the status is %i %s", (status, code, reason) => {
    const response = rig.response({ headers: [...TEXT, "Grip-Status", status], body: "x" });
    expect(response).toMatchObject({ code, reason, body: "x" });
  });

  test.each([
    [["Grip-Status", "1000"], "Grip-Status contains invalid status code"],
    [["Grip-Hold", "Response"], "Grip-Hold must be set to either 'response' or 'stream'"],
    [["Grip-Hold", "foo"], "Grip-Hold must be set to either 'response' or 'stream'"],
    [["Grip-Timeout", "x"], "failed to parse Grip-Timeout"],
    [["Grip-Link", "</a,b>; rel=next"], "failed to parse Grip-Link value"],
  ])("handler R5, R6, R7, R8, R18: when it has %j, then it is refused with these words", (headers, words) => {
    expect(rig.refusal({ headers })).toBe(`bad-format: ${words}`);
  });

  test("handler R9: when headers are named, then only these are shown", () => {
    const headers = [...TEXT, "X-A", "1", "X-B", "2", "Grip-Expose-Headers", "X-A"];
    expect(rig.response({ headers, body: "x" }).headers).toEqual(["X-A", "1"]);
  });

  test("handler R10: when it is a JSON instruct, then its response is the response", () => {
    const given = {
      response: { code: 200, headers: { "Content-Type": "text/plain" }, body: "hello world" },
    };
    const response = rig.response(json(given));
    expect(response).toMatchObject({ code: 200, reason: "OK", body: "hello world" });
    expect(response.headers).toEqual(TEXT);
  });

  test("handler R11: when a JSON instruct has another status, then it is refused", () => {
    expect(rig.refusal(json({ response: { body: "x" } }, 201))).toContain(
      "response code for application/grip-instruct content must be 200",
    );
  });

  test("handler R12: when its members are of unusual types, then they are understood", () => {
    const response = rig.response(
      json({
        response: {
          code: "404",
          reason: "Foo",
          headers: [
            ["X-A", "1"],
            ["X-A", "2"],
          ],
          "body-bin": "aGkK",
        },
      }),
    );
    expect(response).toMatchObject({ code: 404, reason: "Foo", body: "hi\n" });
    expect(response.headers).toEqual(["X-A", "1", "X-A", "2"]);
  });
});

describe("given headers of an instruct", () => {
  test("handler R13: when channels, timeout and meta are given, then all are known", () => {
    const instruct = parse([
      "Grip-Hold",
      "response",
      ...channel("apple"),
      ...channel("banana, cherry"),
      "Grip-Timeout",
      "120",
      "Grip-Set-Meta",
      "foo=bar, bar=baz",
    ]);
    expect(instruct.channels.map((one) => one.name)).toEqual(["apple", "banana", "cherry"]);
    expect(instruct.timeoutS).toBe(120);
    expect([...instruct.meta]).toEqual([
      ["foo", "bar"],
      ["bar", "baz"],
    ]);
  });

  test("handler R14: when channels have parameters, then each has its own", () => {
    const { channels } = parse([
      "Grip-Hold",
      "stream",
      ...channel("apple; prev-id=item1; filter=f1"),
      ...channel("banana; filter=f2, cherry; filter=f1; filter=f2"),
    ]);
    expect(channels.map((one) => one.prevId)).toEqual(["item1", undefined, undefined]);
    expect(channels.map((one) => one.filters)).toEqual([["f1"], ["f2"], ["f1", "f2"]]);
  });

  test.each([
    ["ping1\\n; timeout=10", "idle", "ping1\\n", 10],
    ["ping2\\n; format=cstring", "idle", "ping2\n", 55],
    ["cGluZzMK; format=base64", "idle", "ping3\n", 55],
    ["ping4\\n; mode=interval", "interval", "ping4\\n", 55],
  ])("handler R15, R16: when the keep-alive is %j, then mode, data and time are known", (value, mode, data, timeoutS) => {
    const { keepAlive } = parse(["Grip-Hold", "stream", ...channel(), "Grip-Keep-Alive", value]);
    expect(keepAlive).toMatchObject({ mode, data, timeoutS });
  });

  test("handler R17: when a channel is quoted, then the quotes belong to its name", () => {
    const rig = new HandlerRig();
    const client = rig.hold(["Grip-Hold", "stream", ...channel('"q,z"')]);
    rig.stream("q,z", "no");
    rig.stream('"q,z"', "yes");
    expect(client.body).toBe("yes");
  });

  test("handler R19: when the route has a prefix, then channels are found under it only", () => {
    const rig = new HandlerRig();
    const more = { more: { "channel-prefix": "pfx-" } };
    const client = rig.hold(["Grip-Hold", "response", ...channel()], "", more);
    rig.send("c", "http-response", { body: "wrong" });
    expect(client.code).toBe(0);
    rig.send("pfx-c", "http-response", { body: "right" });
    expect(client).toMatchObject({ code: 200, body: "right", end: "complete" });
  });
});
