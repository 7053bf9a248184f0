import { describe, expect, test } from "vitest";
import { type Client, HandlerRig } from "./handler-rig.ts";

const TEXT = ["Content-Type", "text/plain"];
const HOLD = [...TEXT, "Grip-Hold", "response", "Grip-Channel", "c"];

describe("given a response hold", () => {
  function held(headers: readonly string[] = HOLD, body = "timeout\n", more = {}) {
    const rig = new HandlerRig();
    return { rig, client: rig.hold(headers, body, more) };
  }
  /** The response after one item. */
  const after = (format: object, headers?: readonly string[], body?: string): Client => {
    const { rig, client } = held(headers, body);
    rig.send("c", "http-response", format);
    return client;
  };
  const ORIGINAL = [...HOLD, "X-Orig", "1", "X-Dup", "orig"];

  test("handler R23: when an item comes, then it is the response", () => {
    expect(after({ body: "hello world\n" })).toMatchObject({
      code: 200,
      body: "hello world\n",
      end: "complete",
    });
  });

  test("handler R24: when the item has headers, then they replace those of the same name", () => {
    const { headers } = after({ headers: { "X-Dup": "new", "X-New": "n" }, body: "x" }, ORIGINAL);
    expect(headers).toEqual([
      ...TEXT,
      ...["X-Orig", "1", "X-Dup", "new", "X-New", "n", "Content-Length", "1"],
    ]);
  });

  test("handler R25: when the item repeats a header, then all of them are sent", () => {
    const given = { headers: [["X-Dup", "a"], ["x-dup", "b"]], body: "x" }; // prettier-ignore
    const { headers } = after(given, ORIGINAL);
    expect(headers.join(" ")).toContain("X-Dup a x-dup b");
    expect(headers).not.toContain("orig");
  });

  test("handler R26: when the item speaks of framing, then that is ours to say", () => {
    const given = { "Content-Length": "100", "Transfer-Encoding": "chunked" };
    const { headers } = after({ headers: given, body: "x" });
    expect(headers).toEqual([...TEXT, "Content-Length", "1"]);
  });

  test("handler R27: when the item names headers to expose, then these are hidden", () => {
    const { headers } = after({ headers: { "Grip-Expose-Headers": "X-Orig" }, body: "x" }, ORIGINAL);
    expect(headers).not.toContain("X-Orig");
    expect(headers).toContain("X-Dup");
  });

  test.each([
    [{ code: 404, body: "" }, 404, "Not Found"],
    [{ code: "201", body: "" }, 201, "Created"],
    [{ code: 200.7, body: "" }, 201, "Created"],
  ])("handler R28, R29: when the item is %j, then the status is %i %s", (format, code, reason) => {
    expect(after(format)).toMatchObject({ code, reason });
  });

  test("handler R30: when the item has status 204, then there is no body", () => {
    const client = after({ code: 204, body: "abc" });
    expect(client).toMatchObject({ code: 204, body: "", end: "complete" });
    expect(client.headers).not.toContain("Content-Length");
  });

  test("handler R31: when base64 has strange characters, then they are left out", () => {
    expect(after({ "body-bin": "aGV!sbG8=" }).body).toBe("hello");
  });

  test.each([
    ['{"a":1}\n', [{ op: "add", path: "/b", value: 2 }], '{"a":1,"b":2}\n'],
    ["[1,2,3]", [{ op: "add", path: "/0", value: 9 }], undefined],
    ["[1,2,3]", [{ op: "add", path: "/-", value: 9 }, { op: "remove", path: "/0" }], "[2,3,9]"], // prettier-ignore
  ])("handler R32, R33, R34: when %j is patched by %j, then the patch is applied", (body, patch, expected) => {
    const client = after({ "body-patch": patch }, HOLD, body);
    // R33: patches follow RFC 6902, which inserts; the original overwrites (D18, design.md section 2).
    expect(client.body).toBe(expected ?? "[9,1,2,3]");
  });

  test("handler R35: when an item closes, then long polls stay", () => {
    const { rig, client } = held();
    rig.send("c", "http-stream", { action: "close" });
    rig.send("c", "http-response", { body: "after" });
    expect(client).toMatchObject({ code: 200, body: "after" });
  });

  test("handler R36: when one request brings two items, then the first answers", () => {
    const { rig, client } = held();
    const item = (body: string) => ({ channel: "c", formats: { "http-response": { body } } });
    rig.publish(item("A"), item("B"));
    expect(client.body).toBe("A");
  });

  test("handler R37: when nothing comes, then the held response is sent, after five seconds at least", () => {
    const { rig, client } = held([...HOLD, "Grip-Timeout", "1"], "to\n");
    rig.advance(4900);
    expect(client.code).toBe(0);
    rig.advance(200);
    expect(client).toMatchObject({ code: 200, body: "to\n", end: "complete" });
  });

  test("handler R38, R39: when a channel is new, then the backend is asked again once, and not while it lingers", () => {
    const rig = new HandlerRig({ updateOnFirstSubscription: true });
    const first = rig.hold(HOLD);
    rig.advance(1400);
    expect(first.end).toBe("retry");
    expect(rig.retries.length).toBe(1);
    const second = rig.hold(HOLD, "", { state: { "is-retry": true } });
    rig.advance(5000);
    expect(second.end).toBeUndefined();
    expect(rig.retries.length).toBe(1);
  });

  const withPrev = (id: string) => [...TEXT, "Grip-Hold", "response", "Grip-Channel", `c; prev-id=${id}`];

  test("handler R40: when an item follows the prev-id, then it is delivered", () => {
    const { rig, client } = held(withPrev("5"));
    rig.send("c", "http-response", { body: "six" }, { id: "6", "prev-id": "5" });
    expect(client).toMatchObject({ body: "six", end: "complete" });
    expect(rig.retries).toEqual([]);
  });

  test("handler R41, R42: when the last id is another, then the backend is asked once more, with what is known", () => {
    const { rig } = held();
    rig.send("c", "http-response", { body: "six" }, { id: "6" });
    const behind = rig.hold(withPrev("5"));
    expect(rig.retries.length).toBe(1);
    expect(rig.retries[0]?.inspect?.lastIds).toEqual(new Map([["c", "5"]]));
    expect(behind.end).toBe("retry");
    const again = rig.hold(withPrev("5"), "", { state: { "is-retry": true } });
    rig.advance(1000);
    expect(again.end).toBeUndefined();
    expect(rig.retries.length).toBe(1);
  });

  test.each([{ id: "9", "prev-id": "8" }, { id: "9" }])(
    "handler R43: when an item %j does not follow, then the backend is asked, and the client gets nothing yet",
    (more) => {
      const { rig, client } = held(withPrev("5"));
      rig.send("c", "http-response", { body: "nine" }, more);
      rig.advance(300);
      expect(client).toMatchObject({ code: 0, end: "retry" });
      expect(rig.retries[0]?.inspect?.lastIds).toEqual(new Map([["c", "5"]]));
    },
  );

  test("handler R44: when a request with a body is asked again, then the body goes along", () => {
    const { rig } = held(HOLD, "", {
      request: { method: "POST", uri: "http://h/poll", headers: ["Host", "h"], body: "hello" },
    });
    rig.send("c", "http-response", { action: "hint" });
    expect(rig.retries[0]?.requestData).toMatchObject({ method: "POST", body: "hello" });
  });

  test("handler R45: when an item hints, then the backend is asked at once", () => {
    const { rig, client } = held();
    rig.send("c", "http-response", { action: "hint" });
    expect(client.end).toBe("retry");
    expect(rig.retries[0]?.requests[0]).toMatchObject({ inSeq: 3, rid: { sender: "cm" } });
  });

  test("handler R46: when the backend then answers without a hold, then that is the proxy's to send", () => {
    const rig = new HandlerRig();
    const response = rig.response({ headers: TEXT, code: 500, body: "oops\n" });
    expect(response).toMatchObject({ code: 500, body: "oops\n" });
  });

  test("handler R47, R48: when an item passes while nobody polls, then it is noticed only while the channel lingers", () => {
    const rig = new HandlerRig({ subscriptionLingerMs: 10_000 });
    rig.hold(HOLD);
    rig.send("c", "http-response", { body: "six" }, { id: "6" });
    rig.advance(2000);
    rig.send("c", "http-response", { body: "seven" }, { id: "7", "prev-id": "6" });
    rig.hold(withPrev("6"));
    expect(rig.retries.length).toBe(1);
    const late = rig.hold(withPrev("7"), "", { state: { "is-retry": true } });
    rig.send("c", "http-response", { body: "eight" }, { id: "8", "prev-id": "7" });
    expect(late.end).toBe("complete");
    rig.advance(15_000);
    rig.send("c", "http-response", { body: "nine" }, { id: "9", "prev-id": "8" });
    rig.hold(withPrev("8"));
    expect(rig.retries.length).toBe(1);
  });

  test("handler R49: when everything is to be recovered, then the backend is asked", () => {
    const { rig, client } = held();
    rig.core.recover(rig.nowMs);
    rig.advance(300);
    expect(client.end).toBe("retry");
  });

  test("when equal requests are given back, then they can share one request to the backend", () => {
    const rig = new HandlerRig();
    const request = (headers: string[], method = "GET") => ({ request: { method, headers } });
    rig.hold(HOLD, "", request(["Host", "h"]));
    rig.hold(HOLD, "", request(["Host", "h"]));
    rig.hold(HOLD, "", request(["Host", "h", "Cookie", "a"]));
    rig.hold(HOLD, "", request(["Host", "h"], "POST"));
    rig.send("c", "http-response", { action: "hint" });
    const keys = rig.retries.map((one) => one.inspect?.sharingKey);
    expect(keys[0]).toBe(keys[1]);
    expect(keys[0]).toBeDefined();
    expect(keys[2]).not.toBe(keys[0]);
    expect(keys[3]).toBeUndefined();
  });

  test("handler R50: when there are more channels than allowed, then the first ones count", () => {
    const rig = new HandlerRig({ connectionSubscriptionMax: 3 });
    const client = rig.hold([...TEXT, "Grip-Hold", "response", "Grip-Channel", "a, b, c, d"]);
    rig.send("d", "http-response", { body: "d" });
    expect(client.code).toBe(0);
    rig.send("c", "http-response", { body: "c" });
    expect(client.body).toBe("c");
  });

  test("handler R51: when the client asked for JSON-P, then the item is wrapped", () => {
    const { rig, client } = held(HOLD, "", {
      state: { "jsonp-callback": "cb", "jsonp-extended-response": true, "auto-cross-origin": true },
    });
    rig.send("c", "http-response", { code: 201, headers: { "X-A": "1" }, body: '{"a":1}\n' });
    expect(client.code).toBe(200);
    expect(client.headers).toContain("application/javascript");
    expect(client.body).toBe(
      '/**/cb({"body":"{\\"a\\":1}\\n","code":201,"headers":{"Content-Type":"text/plain","X-A":"1"},"reason":"Created"});\n',
    );
  });
});

describe("given long polls on one channel", () => {
  const WITH_ORIGIN = [...HOLD, "X-Orig", "1"];

  test("when an item comes, then those that get the same answer are named in one packet, and all are over", () => {
    const rig = new HandlerRig();
    const alike = [rig.hold(HOLD, "a"), rig.hold(HOLD, "b"), rig.hold(HOLD, "a")];
    const other = rig.hold(WITH_ORIGIN);
    rig.toClients.length = 0;
    rig.send("c", "http-response", { body: "hi" });
    expect(rig.toClients.map(({ ids }) => ids?.map(({ id, seq }) => ({ id, seq })))).toEqual([
      alike.map(({ id }) => ({ id, seq: 3 })),
      undefined,
    ]);
    for (const client of alike)
      expect(client).toMatchObject({
        headers: [...TEXT, "Content-Length", "2"],
        body: "hi",
        end: "complete",
      });
    expect(other).toMatchObject({
      headers: [...TEXT, "X-Orig", "1", "Content-Length", "2"],
      body: "hi",
      end: "complete",
    });
    expect(rig.core.holds).toBe(0);
  });

  test("when one wants JSON-P, one has few credits and one is behind, then each gets what it would get alone", () => {
    const rig = new HandlerRig();
    const plain = rig.hold(HOLD);
    const jsonp = rig.hold(HOLD, "", { state: { "jsonp-callback": "cb" } });
    const poor = rig.hold(HOLD, "", { state: { "out-credits": 3 } });
    const behind = rig.hold([...TEXT, "Grip-Hold", "response", "Grip-Channel", "c; prev-id=1"]);
    rig.send("c", "http-response", { body: "hello" }, { id: "3", "prev-id": "2" });
    expect(plain).toMatchObject({ body: "hello", end: "complete" });
    expect(jsonp.body).toContain("cb(");
    expect(jsonp.end).toBe("complete");
    expect(poor).toMatchObject({ body: "hello", end: "complete" });
    expect(poor.pieces).toEqual(["hel", "lo"]);
    expect(behind.body).toBe("");
  });

  test("when a burst answers them, then heads, bodies and messages are counted as one by one", () => {
    const counted = (polls: number) => {
      const rig = new HandlerRig();
      for (let i = 0; i < polls; i += 1) rig.hold(HOLD);
      rig.send("c", "http-response", { body: "hi" });
      rig.advance(10_000);
      rig.tickStats();
      const report = rig.stats.find(({ topic }) => topic === "report");
      return ["client-header-bytes-sent", "client-content-bytes-sent", "client-messages-sent"].map(
        (key) => Number(report?.[key]),
      );
    };
    const [head, content, messages] = counted(1) as [number, number, number];
    expect([content, messages]).toEqual([2, 1]);
    expect(counted(5)).toEqual([head * 5, content * 5, messages * 5]);
  });
});
