import { describe, expect, test } from "vitest";
import { type Route, RouteTable } from "../routes/route-table.ts";
import { addressTo, editTarget, forwardedFor, transformHeaders } from "./request-transform.ts";

const SETTINGS = {
  acceptForwardedProtocol: false,
  setForwardedProtocol: "proto-only",
  forwardedFor: [],
  cdnLoop: "",
  acceptPushpinRoute: false,
  forwardedForTrusted: [],
  originalHeadersNeedMark: [],
} as const;

function route(line: string): Route {
  const found = RouteTable.parse([line], () => {}).find("http", false, "h", "/abc/x");
  if (found === undefined) throw new Error(line);
  return found;
}
const transform = (
  headers: string[],
  line = "h o:1",
  settings: Partial<Parameters<typeof transformHeaders>[2]> = {},
) =>
  transformHeaders(
    {
      uri: "http://h/",
      headers,
      peerAddress: "127.0.0.1",
      trustedClient: false,
      isInternal: false,
      signature: "sig",
      sid: undefined,
      lastIds: undefined,
    },
    route(line),
    { ...SETTINGS, ...settings },
  );

describe("given headers of a client", () => {
  test("proxy R37, R38: when they are connection headers or Grip headers, then they stop here", () => {
    const out = transform([
      "Connection",
      "X-Secret, close",
      "X-Secret",
      "1",
      "Keep-Alive",
      "1",
      "Accept-Encoding",
      "gzip",
      "Grip-Foo",
      "1",
      "Grip-Sig",
      "x",
      "Expect",
      "100-continue",
      "A",
      "b",
    ]);
    expect(out.slice(0, 4)).toEqual(["A", "b", "Grip-Sig", "sig"]);
    expect(out[4]).toBe("Grip-Feature");
    expect(out.length).toBe(6);
  });

  test("when they look like ours to a backend that knows no difference between _ and -, then they stop here", () => {
    const out = transform(
      ["Grip_Sig", "x", "GRIP_FEATURE", "x", "X_Forwarded_For", "1.1.1.1", "X-Forwarded_For", "1.1.1.1", "My_Header", "kept"],
      "h o:1",
      { forwardedFor: ["append"] },
    );
    expect(out.slice(0, 4)).toEqual(["My_Header", "kept", "Grip-Sig", "sig"]);
    expect(out.filter((one) => one.includes("_"))).toEqual(["My_Header"]);
    expect(out.slice(-2)).toEqual(["X-Forwarded-For", "127.0.0.1"]);
  });

  test("proxy R25: when the route sets headers, then they replace, and an empty value removes", () => {
    const out = transform(
      ["User-Agent", "u", "X-Foo", "old"],
      'h,header=X-Foo:bar,header="X-Bar:  b z",header=User-Agent: o:1,no',
    );
    expect(out.slice(0, 4)).toEqual(["X-Foo", "bar", "X-Bar", "b z"]);
  });

  test("proxy R48: when the route has no_grip, then no Grip header is added", () => {
    expect(transform(["A", "b"], "h,no_grip o:1")).toEqual(["A", "b"]);
  });

  test("proxy R39, R41: when the client sends X-Forwarded-Proto, then the shipped settings drop it and none keeps it", () => {
    expect(transform(["X-Forwarded-Proto", "https"])).not.toContain("X-Forwarded-Proto");
    expect(
      transform(["X-Forwarded-Proto", "https"], "h o:1", { setForwardedProtocol: "none" }),
    ).toContain("X-Forwarded-Proto");
  });

  test("proxy R52: when cdn_loop is set, then the token is added", () => {
    expect(transform(["CDN-Loop", "a"], "h,no_grip o:1", { cdnLoop: "tok" })).toEqual([
      "CDN-Loop",
      "a, tok",
    ]);
  });
});

describe("given X-Forwarded-For rules", () => {
  test.each([
    ["R42", ["1.1.1.1, 2.2.2.2, 3.3.3.3"], ["truncate:1", "append"], "3.3.3.3, 127.0.0.1"],
    ["R43", ["1.1.1.1", "2.2.2.2"], ["truncate:1", "append"], "2.2.2.2, 127.0.0.1"],
    ["R44", [], ["truncate:1", "append"], "127.0.0.1"],
    ["R45", ["1.2.3.4"], [], "1.2.3.4"],
  ])("proxy %s: when %j meets %j, then it is %s", (_, values, rules, expected) => {
    expect(forwardedFor(values, rules, "127.0.0.1").join(", ")).toBe(expected);
  });
});

describe("given path edits", () => {
  test.each([
    ["R20", "h,path_beg=/abc/,replace_beg=/xyz/ o:1", "/abc/def?q=1", "/xyz/def?q=1"],
    ["R21", "h,path_beg=/abc,replace_beg= o:1", "/abc?q=1", "/?q=1"],
    ["R21", "h,path_beg=/abc,replace_beg= o:1", "/abcdef", undefined],
    ["R22", "h,path_rem=100 o:1", "/x/y", "/"],
  ])("proxy %s: when the route is %s, then %s becomes %s", (_, line, target, expected) => {
    expect(editTarget(target, route(line))).toBe(expected);
  });

  test("proxy R23, R24: when a host is given, then it is that of URI and Host", () => {
    const one = route("h,as_host=as.example:81 o:1");
    expect(addressTo(one.targets[0] as never, one, "http://h/x", ["Host", "h"], false)).toEqual({
      uri: "http://as.example:81/x",
      headers: ["Host", "as.example:81"],
    });
  });
});
