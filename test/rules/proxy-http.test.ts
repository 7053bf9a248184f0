import { createHmac } from "node:crypto";
import { decode, encode, type TnetInput, toByteString } from "@pushpin/tnetstrings";
import { afterEach, describe, expect, test } from "vitest";
import { pairsOf, ProxyRig, valueOf } from "./proxy-rig.ts";

const rigs: ProxyRig[] = [];
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.stop();
});
function make(...args: ConstructorParameters<typeof ProxyRig>): ProxyRig {
  const rig = new ProxyRig(...args);
  rigs.push(rig);
  return rig;
}
const O = "127.0.0.1:1000";
const TEXT = ["Content-Type", "text/plain"];
const ERROR = "Error while proxying to origin.\n";

describe("given routes", () => {
  /** `test` or `origin`, or the status of an error. */
  const reached = (lines: readonly string[], uri: string): string => {
    const rig = make(lines);
    const client = rig.request({ uri });
    if (rig.asked.length > 0) return "origin";
    return client.body.includes("no such test resource") || client.body.startsWith("Hello")
      ? "test"
      : `${client.code} ${client.body.trim()}`;
  };

  test("proxy R7, R8: when names are quoted or in upper case, then they are found", () => {
    expect(reached(['q"uot"ed test'], "http://quoted/")).toBe("test");
    expect(reached(["UPPER test", `* ${O}`], "http://UPPER/")).toBe("test");
  });

  test("proxy R9: when a host's rules do not match, then the default ones do not count", () => {
    const lines = ["exact,path_beg=/a test", `* ${O}`];
    expect(reached(lines, "http://exact/y")).toBe("502 Route not found");
  });

  test.each([
    ["R10", [`h,proto=http ${O}`, "h,path_beg=/long test"], "http://h/long/", "origin"],
    ["R11", ["h,path_beg=/long test", `h,ssl=no ${O}`], "http://h/long", "origin"],
    ["R12", [`h,ssl=no ${O}`, "h,path_beg=/long test"], "http://h/long", "test"],
    ["R13", ["h,path_beg=/a test", `h,path_beg=/abc ${O}`], "http://h/abcd", "origin"],
    ["R13", ["h,path_beg=/a test", `h,path_beg=/abc ${O}`], "http://h/ab", "test"],
    ["R14", ["h,ssl=yes test", "h,proto=ws test"], "http://h/", "502 Route not found"],
  ])("proxy R10, R11, R12, R13, R14: when rules compete (%s), then the right one wins", (_rule, lines, uri, expected) => {
    expect(reached(lines, uri)).toBe(expected);
  });

  test("proxy R18, R19: when a request names a route, then only where that is allowed", () => {
    const given = { headers: ["Host", "h", "Pushpin-Route", "nosuch"] };
    expect(make(`* ${O}`, { accept_pushpin_route: true }).request(given)).toMatchObject({
      code: 502,
      body: "Route not found\n",
    });
    const rig = make(`* ${O}`);
    rig.request(given);
    expect(valueOf(rig.last.headers, "pushpin-route")).toBe("nosuch");
  });

  test.each([
    ["h,path_beg=/abc/,replace_beg=/xyz/", "http://h/abc/def?q=1", "http://h/xyz/def?q=1"],
    ["h,path_beg=/abc,replace_beg=", "http://h/abc", "http://h/"],
    ["h,path_beg=/abc,replace_beg=", "http://h/abc?q=1", "http://h/?q=1"],
    ["h,path_rem=100", "http://h/x/y", "http://h/"],
  ])("proxy R20, R21, R22: when a route is %s, then %s becomes %s", (route, uri, expected) => {
    const rig = make(`${route} ${O}`);
    rig.request({ uri });
    expect(rig.last.uri).toBe(expected);
  });

  test("proxy R21: when a path is none after its edits, then nobody is asked", () => {
    const rig = make(`h,path_beg=/abc,replace_beg= ${O}`);
    expect(rig.request({ uri: "http://h/abcdef" })).toMatchObject({ code: 502, body: ERROR });
    expect(rig.asked).toEqual([]);
  });

  test("proxy R26: when a route sets the Host header, then that is not how hosts are set", () => {
    const rig = make(`h,header=Host:zzz ${O}`);
    rig.request();
    expect(valueOf(rig.last.headers, "host")).toBe("h");
  });

  test("proxy R31, R32: when a target is IPv6 or has ssl with any text, then that is understood", () => {
    const rig = make("*,debug [::1]:1000,ssl=no");
    const client = rig.request();
    expect(rig.last.packet).toMatchObject({ connectHost: "::1", connectPort: 1000 });
    expect(rig.last.uri).toMatch(/^https:/);
    rig.fail(rig.last, "remote-connection-failed");
    expect(client.body).toBe("Unable to connect to any targets. Tried: [::1]:1000\n");
  });
});

describe("given a request on its way to the backend", () => {
  const sent = (
    headers: readonly string[],
    settings: ConstructorParameters<typeof ProxyRig>[1] = {},
    route = `* ${O}`,
  ): string[] => {
    const rig = make(route, settings);
    rig.request({ headers: ["Host", "h", ...headers] });
    return rig.last.headers;
  };

  test("proxy R36: when a route has an issuer of its own, then tokens name it", () => {
    const token = valueOf(sent([], {}, `h,sig_iss=x ${O}`), "grip-sig") ?? "";
    const [head = "", claims = "", signature] = token.split(".");
    expect(JSON.parse(Buffer.from(claims, "base64url").toString())).toMatchObject({ iss: "x" });
    const expected = createHmac("sha256", "changeme").update(`${head}.${claims}`);
    expect(signature).toBe(expected.digest("base64url"));
  });

  test("proxy R40: when forwarded protocols are accepted and set, then both headers say so", () => {
    const rig = make(`* ${O}`, { accept_x_forwarded_protocol: true, set_x_forwarded_protocol: "true" });
    rig.request({ headers: ["Host", "h", "X-Forwarded-Proto", "https"] });
    expect(valueOf(rig.last.headers, "x-forwarded-proto")).toBe("https");
    expect(valueOf(rig.last.headers, "x-forwarded-protocol")).toBe("https");
    rig.answer(rig.last, 200, TEXT, "x");
    expect(rig.lines[0]).toContain("GET https://h/");
  });

  test.each([
    [["X-Forwarded-For", "1.1.1.1, 2.2.2.2, 3.3.3.3"], ["truncate:1", "append"], "3.3.3.3, 127.0.0.1"],
    [["X-Forwarded-For", "1.1.1.1", "X-Forwarded-For", "2.2.2.2"], ["truncate:1", "append"], "2.2.2.2, 127.0.0.1"],
    [[], ["truncate:1", "append"], "127.0.0.1"],
    [["X-Forwarded-For", "1.2.3.4"], [], "1.2.3.4"],
  ])("proxy R42, R43, R44, R45: when headers are %j and rules %j, then it is %s, last of all", (headers, rules, expected) => {
    const out = sent(headers, { x_forwarded_for: rules });
    expect(out.slice(-2)).toEqual(["X-Forwarded-For", expected]);
  });

  test("proxy R46, R47: when originals are to be kept, then they are marked, and only then", () => {
    const headers = ["X-Mark", "1", "eb9bf0f5-X-Mark", "2"];
    const kept = sent(headers, { orig_headers_need_mark: ["X-Mark"] }, `h,orig_headers ${O}`);
    const marked = kept.filter((one, i) => i % 2 === 0 && one.startsWith("eb9bf0f5-"));
    expect(marked).toEqual(["eb9bf0f5-Host", "eb9bf0f5-X-Mark"]);
    expect(valueOf(kept, "x-mark")).toBe("1");
    expect(sent(headers).some((one) => one.startsWith("eb9bf0f5-"))).toBe(false);
  });

  const token = (key: string, expS: number) => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const input = `${part({ typ: "JWT", alg: "HS256" })}.${part({ exp: expS, iss: "up" })}`;
    return `${input}.${createHmac("sha256", key).update(input).digest("base64url")}`;
  };
  const NOW_S = 1_700_000_000;

  test("proxy R49, R50: when a proxy in front vouches for it, then its headers pass, until the token expires", () => {
    const settings = { upstream_key: "upkey" };
    const good = token("upkey", NOW_S + 100);
    const passed = sent(["Grip-Sig", good, "Grip-Foo", "1"], settings);
    expect(valueOf(passed, "grip-sig")).toBe(good);
    expect(valueOf(passed, "grip-foo")).toBe("1");
    expect(valueOf(passed, "grip-feature")).toBeUndefined();
    const late = token("upkey", NOW_S - 100);
    const stopped = sent(["Grip-Sig", late, "Grip-Foo", "1"], settings);
    expect(valueOf(stopped, "grip-sig")).not.toBe(late);
    expect(valueOf(stopped, "grip-foo")).toBeUndefined();
  });

  test("proxy R51: when there is no key, then nobody is trusted", () => {
    const forged = token("", NOW_S + 100);
    expect(valueOf(sent(["Grip-Sig", forged], { upstream_key: "" }), "grip-sig")).not.toBe(forged);
  });

  test("proxy R53: when a body comes slowly, then the backend is asked at 10,000 bytes", () => {
    const rig = make(`* ${O}`);
    const client = rig.request({ method: "POST", body: "x".repeat(9999), more: true });
    expect(rig.asked).toEqual([]);
    rig.body(client, "x", true);
    expect(rig.asked.length).toBe(1);
    rig.body(client, "y".repeat(10_000), false);
    expect(rig.last).toMatchObject({ isBodyDone: true });
    expect(rig.last.body.length).toBe(20_000);
  });

  test("proxy R54: when as many are open as may be, then the next waits", () => {
    const rig = make(`* ${O}`, {}, { openRequestsMax: 1 });
    rig.request();
    const second = rig.request({ uri: "http://h/second" });
    expect(rig.asked.length).toBe(1);
    rig.answer(rig.last, 200, TEXT, "one");
    expect(rig.asked.length).toBe(2);
    rig.answer(rig.last, 200, TEXT, "two");
    expect(second).toMatchObject({ code: 200, body: "two" });
  });

  test("proxy R55: when the client gives up its upload, then so does the backend's request", () => {
    const rig = make(`* ${O}`);
    const client = rig.request({ method: "POST", body: "x".repeat(20_000), more: true });
    rig.disconnect(client);
    expect(rig.last.end).toBe("cancel");
    expect(rig.lines[0]).toMatch(/ error$/);
  });

  test("proxy R56: when the backend answers before the upload ends, then the answer is whole", () => {
    const rig = make(`* ${O}`);
    const client = rig.request({ method: "POST", body: "x".repeat(20_000), more: true });
    rig.answer(rig.last, 200, TEXT, "early");
    expect(client).toMatchObject({ code: 200, body: "early", end: "complete" });
  });
});

describe("given targets that fail", () => {
  test("proxy R57: when the only one is refused, then the answer says so", () => {
    const rig = make(`* ${O}`);
    const client = rig.request();
    rig.fail(rig.last, "remote-connection-failed");
    expect(client).toMatchObject({ code: 502, reason: "Bad Gateway", body: ERROR });
    expect(client.headers).toEqual([...TEXT, "Content-Length", "32"]);
  });

  test("proxy R58: when all are refused and somebody debugs, then they are named", () => {
    const rig = make("h,debug A:22999 A:22998,ssl");
    const client = rig.request();
    rig.fail(rig.last, "remote-connection-failed");
    rig.fail(rig.last, "tls-error");
    expect(client.body).toBe("Unable to connect to any targets. Tried: A:22999, A:22998\n");
  });

  test("proxy R59, R60: when the first is refused, then the second gets the whole request", () => {
    const rig = make("* a:1 b:2");
    const client = rig.request({ method: "POST", body: "hi" });
    rig.fail(rig.last, "remote-connection-failed");
    expect(rig.last).toMatchObject({ body: "hi", isBodyDone: true });
    rig.answer(rig.last, 200, TEXT, "ok");
    expect(client.body).toBe("ok");
    expect(rig.lines[0]).toContain(" -> b:2 ");
  });

  test.each(["undefined-condition", "policy-violation", "max-size-exceeded"])(
    "proxy R61: when the first fails by %s, then the second is not tried",
    (condition) => {
      const rig = make("* a:1 b:2");
      const client = rig.request();
      rig.fail(rig.last, condition);
      expect(client).toMatchObject({ code: 502, body: ERROR });
      expect(rig.asked.length).toBe(1);
    },
  );

  test("proxy R62: when the first answers with an error, then that is the answer", () => {
    const rig = make("* a:1 b:2");
    const client = rig.request();
    rig.answer(rig.last, 503, TEXT, "busy", false, "Busy");
    expect(client).toMatchObject({ code: 503, reason: "Busy", body: "busy" });
  });

  test("proxy R63: when a certificate is refused, then that is a failure to connect", () => {
    const rig = make(`*,debug ${O},ssl,insecure`);
    const client = rig.request();
    expect(rig.last.packet.ignoreTlsErrors).toBe(true);
    rig.fail(rig.last, "tls-error");
    expect(client.body).toContain("Unable to connect to any targets.");
  });

  test("proxy R64: when a policy forbids a target, then debug says so", () => {
    const rig = make(`*,debug ${O},untrusted`);
    const client = rig.request();
    expect(rig.last.packet.ignorePolicies).toBe(false);
    rig.fail(rig.last, "policy-violation");
    expect(client.body).toBe("Error: Origin host/IP blocked.\n");
  });

  test("proxy R65: when nobody serves a zhttp target, then the answer comes at once", () => {
    const rig = make("*,debug zhttp/ipc:///nowhere");
    expect(rig.request()).toMatchObject({ code: 502, body: ERROR });
  });

  test("proxy R66: when the HTTP client never answers, then that is said after a minute", () => {
    const rig = make(`*,debug ${O}`);
    const client = rig.request();
    for (let i = 0; i < 3; i += 1) {
      rig.advance(25_000);
      rig.fromClient(client, (packet) => {
        packet.type = "keep-alive";
      });
    }
    expect(client.body).toBe("Error: zhttp service for route is unreachable.\n");
  });

  test("proxy R68: when a client sends WebSocket events itself, then it may not", () => {
    const rig = make(`* ${O},over_http`);
    const headers = ["Host", "h", "Content-Type", "application/websocket-events; x=y"];
    expect(rig.request({ method: "POST", headers, body: "OPEN\r\n" })).toMatchObject({
      code: 403,
      body: "Client not allowed to send WebSocket events directly.\n",
    });
  });

  test("proxy R69, R70: when a response breaks off, then it does not end cleanly", () => {
    const rig = make(`* ${O}`);
    const client = rig.request();
    rig.answer(rig.last, 200, ["Content-Length", "10"], "12345", true);
    rig.fail(rig.last, "undefined-condition");
    expect(client).toMatchObject({ code: 200, body: "12345", end: "cancel" });
    expect(rig.lines[0]).toMatch(/ error$/);
  });

  test("proxy R71: when a backend's head is no final one, then it is not passed on", () => {
    const rig = make(`* ${O}`);
    const client = rig.request();
    rig.answer(rig.last, 103, ["Link", "x"], "");
    expect(client.code).toBe(502);
  });
});

describe("given responses with GRIP", () => {
  const response = (body: string): TnetInput => ({ code: 200, reason: "OK", headers: [["X", "1"]], body }); // prettier-ignore
  const accepted = { success: true as const, value: new Map([["accepted", true]]) };

  test("proxy R72, R73: when the handler answers, then its response is the client's", () => {
    const rig = make(`* ${O}`);
    const client = rig.request();
    rig.answer(rig.last, 200, [...TEXT, "Grip-Foo", "1"], "x");
    const call = rig.accepts[0];
    expect(pairsOf(call?.args.get("response") as never, "headers")).toContain("Grip-Foo");
    call?.reply({ success: true, value: decodeValue({ response: response("from the handler") }) });
    expect(client).toMatchObject({ code: 200, body: "from the handler", end: "complete" });
  });

  test("proxy R74, R75: when the handler cannot read it, then debug says why", () => {
    for (const [route, expected] of [
      [`* ${O}`, ERROR],
      [`*,debug ${O}`, "Failed to parse accept instructions: because\n"],
    ] as const) {
      const rig = make(route);
      const client = rig.request();
      rig.answer(rig.last, 200, ["Grip-Hold", "bogus"], "x");
      rig.accepts[0]?.reply({ success: false, condition: "bad-format", value: "because" });
      expect(client).toMatchObject({ code: 502, body: expected });
    }
  });

  test("proxy R76: when it is a JSON instruct, then it is the handler's too", () => {
    const rig = make(`* ${O}`);
    rig.request();
    rig.answer(rig.last, 200, ["Content-Type", "application/grip-instruct;charset=utf-8"], "{}");
    expect(rig.accepts.length).toBe(1);
    rig.request();
    rig.answer(rig.last, 200, ["Content-Type", "application/grip-instruct ; x"], "{}");
    expect(rig.accepts.length).toBe(1);
  });

  test("proxy R77, R78: when the route has no GRIP, or the client is trusted, then it is relayed", () => {
    const rig = make(`h,no_grip ${O}`);
    const client = rig.request();
    rig.answer(rig.last, 200, [...TEXT, "Grip-Hold", "stream"], "x");
    expect(client).toMatchObject({ code: 200, body: "x", end: "complete" });
    expect(client.headers).toContain("Grip-Hold");
    expect(rig.accepts).toEqual([]);
  });

  test("proxy R82: when a chain begins with a large body, then that is sent first", () => {
    const rig = make(`* ${O}`);
    const client = rig.request();
    const headers = [...TEXT, "Grip-Link", "</p>; rel=next", "Content-Length", "110001"];
    rig.answer(rig.last, 200, headers, "x".repeat(110_001));
    expect(client.body.length).toBe(110_001);
    expect(client.headers).toEqual(TEXT);
    const [call] = rig.accepts;
    expect(call?.args.get("response-sent")).toBe(true);
    expect(toByteString((call?.args.get("response") as Map<string, string>).get("body") ?? "?")).toBe("");
    call?.reply(accepted);
    expect(client.end).toBeUndefined();
    expect(rig.lines[0]).toMatch(/ accept$/);
  });

  test("proxy R83, R85: when the handler does not take it, then the client is told", () => {
    const rig = make(`* ${O}`);
    const client = rig.request();
    rig.answer(rig.last, 200, ["Grip-Hold", "stream"], "x");
    rig.accepts[0]?.reply({ success: false, condition: "timeout" });
    expect(client).toMatchObject({ code: 500, body: "Accept service unavailable.\n" });
  });

  test("proxy R84: when the handler is silent, then the first request waits for it, and the next does not", () => {
    const rig = make(`h,session ${O}`);
    rig.request();
    expect(rig.asked).toEqual([]);
    rig.inspects[0]?.reply({ success: false, condition: "timeout" });
    expect(rig.asked.length).toBe(1);
    rig.request();
    expect(rig.asked.length).toBe(2);
  });

  test("proxy R86: when the response was sent already and nobody takes it, then debug says so in the body", () => {
    const rig = make(`*,debug ${O}`);
    const client = rig.request();
    rig.answer(rig.last, 200, ["Grip-Hold", "stream"], "x".repeat(110_001));
    rig.accepts[0]?.reply({ success: false, condition: "timeout" });
    expect(client.body.slice(110_001)).toBe("\n\nAccept service unavailable\n");
    const quiet = make(`* ${O}`);
    const other = quiet.request();
    quiet.answer(quiet.last, 200, ["Grip-Hold", "stream"], "x".repeat(110_001));
    quiet.accepts[0]?.reply({ success: false, condition: "timeout" });
    expect(other.end).toBe("cancel");
  });

  test("proxy R87: when a route has a prefix and a target a subscription, then the handler learns both", () => {
    const rig = make(`h,prefix=pfx- ${O},sub=chanA`);
    rig.request();
    rig.answer(rig.last, 200, ["Grip-Hold", "stream", "Grip-Channel", "b"], "");
    const args = rig.accepts[0]?.args;
    expect(args?.get("channel-prefix")).toBe("pfx-");
    expect(args?.get("channels")).toEqual(["chanA"]);
    expect(args?.get("trusted")).toBe(true);
  });

  test("proxy R88: when requests may share, then one request to the backend serves all", () => {
    const rig = make(`h,session ${O}`);
    const clients = [rig.request(), rig.request()];
    for (const call of rig.inspects)
      call.reply({ success: true, value: decodeValue({ "no-proxy": false, "sharing-key": "k" }) });
    expect(rig.asked.length).toBe(1);
    rig.answer(rig.last, 200, TEXT, "both", true);
    const late = rig.request();
    rig.inspects[2]?.reply({ success: true, value: decodeValue({ "no-proxy": false, "sharing-key": "k" }) });
    rig.fromBackend(rig.last, (packet) => {
      packet.body = "!";
    });
    expect([...clients, late].map((one) => [one.code, one.body, one.end])).toEqual(
      Array(3).fill([200, "both!", "complete"]),
    );
  });
});

function decodeValue(value: TnetInput): never {
  // As it comes off the wire.
  const decoded = decode(encode(value));
  if (!decoded.ok) throw new Error(decoded.error);
  return decoded.value as never;
}

describe("given automatic cross-origin headers and JSON-P", () => {
  const scripts = (query: string, answer: (rig: ProxyRig) => void, route = `*,aco ${O}`) => {
    const rig = make(route);
    const client = rig.request({ uri: `http://h/${query}` });
    if (rig.asked.length > 0) answer(rig);
    return { rig, client };
  };

  test("proxy R89, R90, R91: when a route has them, then responses get what they lack", () => {
    const rig = make(`*,aco ${O}`);
    const plain = rig.request();
    rig.answer(rig.last, 200, [...TEXT, "Date", "d"], "x");
    expect(valueOf(plain.headers, "access-control-allow-origin")).toBe("*");
    expect(valueOf(plain.headers, "access-control-max-age")).toBe("3600");
    expect(valueOf(plain.headers, "access-control-expose-headers")).toBe("Date");
    const own = rig.request({ headers: ["Host", "h", "Origin", "http://o"] });
    rig.answer(rig.last, 200, ["X-Foo", "1", "ETag", "e", "X-FOO", "2", "Access-Control-Max-Age", "5", "Date", "d"], ""); // prettier-ignore
    expect(valueOf(own.headers, "access-control-expose-headers")).toBe("X-Foo, ETag, Date");
    expect(own.headers.filter((one) => one === "Access-Control-Max-Age").length).toBe(1);
    expect(valueOf(own.headers, "access-control-allow-origin")).toBe("http://o");
    const preflight = rig.request({
      method: "OPTIONS",
      headers: ["Host", "h", "Access-Control-Request-Method", "PATCH", "Access-Control-Request-Headers", "x-a, x-b", "Access-Control-Request-Headers", "x-c"], // prettier-ignore
    });
    rig.answer(rig.last, 200, [], "");
    expect(valueOf(preflight.headers, "access-control-allow-methods")).toBe("PATCH");
    expect(valueOf(preflight.headers, "access-control-allow-headers")).toBe("x-a, x-b, x-c");
  });

  test("proxy R92: when there is a callback, then the response is a script", () => {
    const { client } = scripts("?callback=cb", (rig) =>
      rig.answer(rig.last, 404, ["Date", "d"], 'a"b\n', false, "Not Found"),
    );
    expect(client.code).toBe(200);
    expect(client.body).toBe(
      '/**/cb({"code": 404, "reason": "Not Found", "headers": {"Date":"d"}, "body": "a\\"b\\n"});\n',
    );
  });

  test("proxy R93: when the mode is basic, then the body is the argument", () => {
    const { rig, client } = scripts(
      "?bparam={}",
      (one) => one.answer(one.last, 200, [], '{"hello": "world"}'),
      `*,aco,jsonp_mode=basic,jsonp_body=bparam,jsonp_defcb=jpcb ${O}`,
    );
    expect(client.body).toBe('/**/jpcb({"hello": "world"});\n');
    expect(rig.last).toMatchObject({ method: "POST", body: "{}" });
    expect(valueOf(rig.last.headers, "content-type")).toBe("application/json");
  });

  test("proxy R94: when method, headers and body are in the query, then the backend gets them so", () => {
    const headers = encodeURIComponent('{"X-A":"b","Accept":"q"}');
    const { rig } = scripts(`?callback=cb&_method=POST&_headers=${headers}&_body=hello&z=1`, (one) =>
      one.answer(one.last, 200, [], ""),
    );
    expect(rig.last).toMatchObject({ method: "POST", uri: "http://h/?z=1", body: "hello" });
    expect(valueOf(rig.last.headers, "x-a")).toBe("b");
    expect(valueOf(rig.last.headers, "accept")).toBe("*/*");
  });

  test.each([
    ["?callback=", "Invalid callback parameter.\n"],
    ["?callback=alert(1)//", "Invalid callback parameter.\n"],
    ["?callback=cb&_headers=x", "Invalid _headers parameter.\n"],
    ["?callback=cb&_headers={%22a%22:1}", "Invalid _headers parameter.\n"],
    ["?callback=cb&_headers={%22a%22:%22b%0d%0ac%22}", "Invalid _headers parameter.\n"],
  ])("proxy R95, R96: when the query is %s, then it is refused", (query, words) => {
    const { rig, client } = scripts(query, () => {});
    expect(rig.asked).toEqual([]);
    expect(client).toMatchObject({ code: 400, body: words });
    expect(valueOf(client.headers, "access-control-allow-origin")).toBe("*");
  });

  test("proxy R97: when the response is streamed, then it is one valid script all the same", () => {
    const { client } = scripts("?callback=cb", (rig) => {
      rig.answer(rig.last, 200, [], "chunk0\n", true);
      rig.fromBackend(rig.last, (packet) => {
        packet.body = "chunk1\n";
      });
    });
    expect(client.body).toBe(
      '/**/cb({"code": 200, "reason": "OK", "headers": {}, "body": "chunk0\\nchunk1\\n"});\n',
    );
  });

  test("proxy R98: when the method is not GET, then nothing is wrapped", () => {
    const rig = make(`*,aco ${O}`);
    const client = rig.request({ method: "POST", uri: "http://h/?callback=cb" });
    rig.answer(rig.last, 200, [], "x");
    expect([rig.last.uri, client.body]).toEqual(["http://h/?callback=cb", "x"]);
  });

  test("proxy R99: when names and method are the route's, then others are plain parameters", () => {
    const { rig } = scripts(
      "?cbx=zz&callback=1",
      (one) => one.answer(one.last, 200, [], ""),
      `*,aco,jsonp_cb=cbx,jsonp_defmethod=PUT ${O}`,
    );
    expect(rig.last).toMatchObject({ method: "PUT", uri: "http://h/?callback=1" });
  });

  test("proxy R100, R101: when the test target is asked, then it answers by itself", () => {
    const rig = make(["t test", "p,path_beg=/t test"]);
    const ask = (uri: string, body = "") => rig.request({ uri, method: body === "" ? "GET" : "POST", body }); // prettier-ignore
    expect(ask("http://t/").body).toBe("Hello from the Pushpin test handler!\n");
    expect(ask("http://t/nope")).toMatchObject({ code: 404, body: "no such test resource\n" });
    expect(ask("http://t/", "x".repeat(100_001))).toMatchObject({
      code: 400,
      body: "request too large\n",
    });
    expect(["/t", "/t/", "/tnope"].map((path) => ask(`http://p${path}`).code)).toEqual([404, 200, 404]);
  });
});

describe("given what is logged and counted", () => {
  test("proxy R156: when it is asked for, then lines name the address and the agent", () => {
    const rig = make(`* ${O}`, { log_from: true, log_user_agent: true });
    const headers = ["Host", "h", "Referer", "http://ref.example/x", "User-Agent", "curl/7.88.1"];
    rig.request({ uri: "https://h/echo", headers });
    rig.answer(rig.last, 200, [], "x".repeat(571));
    expect(rig.lines[0]).toContain(
      `GET https://h/echo -> ${O} from=127.0.0.1 ref=http://ref.example/x code=200 571 ua=curl/7.88.1`,
    );
  });

  test("proxy R159: when bytes are counted, then separators are not", () => {
    const rig = make(`example,id=r ${O}`);
    rig.request({ uri: "http://example/path?a=b" });
    rig.answer(rig.last, 200, ["Content-Type", "text/plain", "Content-Length", "11"], "hello world");
    rig.advance(10_100);
    expect(rig.stats.find((one) => one["topic"] === "report" && one["route"] === "r")).toMatchObject({
      "client-header-bytes-received": 23,
      "client-header-bytes-sent": 43,
      "client-content-bytes-sent": 11,
      connections: 1,
    });
  });
});

describe("given a backend that has not answered yet", () => {
  test("when requests are 20 ms old, or up to twice that, then they are acknowledged, and younger ones are not", () => {
    const rig = make(`* ${O}`);
    const old = rig.request();
    rig.clock.advance(19);
    const young = rig.request();
    rig.clock.advance(1);
    expect([old.inSeq, young.inSeq]).toEqual([0, 0]);
    const fresh = rig.request();
    rig.clock.advance(20);
    expect([old.inSeq, young.inSeq, fresh.inSeq]).toEqual([1, 1, 0]);
    rig.answer(rig.last, 200, TEXT, "fresh");
    rig.clock.advance(100);
    expect([old.inSeq, young.inSeq, fresh.inSeq]).toEqual([1, 1, 1]);
    expect(fresh).toMatchObject({ code: 200, body: "fresh", end: "complete" });
  });
});

describe("given requests of the handler", () => {
  test("when one names a route, then its rules apply, its Grip headers pass, and the answer goes back whole", () => {
    const rig = make(`h,id=r,prefix=p- ${O}`);
    const client = rig.internal(
      { uri: "http://h/next", headers: ["Grip-Last", "c; last-id=1"] },
      { route: "r", "prefer-internal": true, trusted: true },
    );
    expect(valueOf(rig.last.headers, "grip-last")).toBe("c; last-id=1");
    expect(valueOf(rig.last.headers, "grip-sig")).toBeDefined();
    rig.answer(rig.last, 200, ["Grip-Hold", "stream"], "x");
    expect(client).toMatchObject({ code: 200, body: "x", end: "complete" });
    expect(rig.accepts).toEqual([]);
    expect(rig.lines).toEqual([]);
  });

  test("when one leaves the route, then it goes where its URI says", () => {
    const rig = make(`h,id=r ${O}`);
    rig.internal({ uri: "https://elsewhere/x" }, { route: "r" });
    expect(rig.last.packet).toMatchObject({ connectHost: "elsewhere", connectPort: 443, ignorePolicies: false }); // prettier-ignore
    expect(rig.internal({ uri: "http://h/" }, { route: "gone" })).toMatchObject({ code: 502 });
  });
});
