import { describe, expect, test } from "vitest";
import { type Asked, type Client, HandlerRig } from "./handler-rig.ts";

const TEXT = ["Content-Type", "text/plain"];
const STREAM = [...TEXT, "Grip-Hold", "stream", "Grip-Channel", "c"];
const LINK = ["Grip-Link", "</next>; rel=next"];

const lastIdsOf = (asked: Asked | undefined) => {
  const { headers = [] } = asked ?? {};
  return headers.filter((_, i) => i % 2 === 1 && headers[i - 1] === "Grip-Last");
};

describe("given a stream hold", () => {
  function held(headers: readonly string[] = STREAM, body = "", more = {}) {
    const rig = new HandlerRig();
    return { rig, client: rig.hold(headers, body, more) };
  }

  test("handler R52: when items come and one closes, then they are appended and it ends", () => {
    const { rig, client } = held(STREAM, "stream open\n");
    rig.stream("c", "hello world\n");
    rig.send("c", "http-stream", { action: "close" });
    expect(client).toMatchObject({ body: "stream open\nhello world\n", end: "complete" });
  });

  test("handler R53: when items come in the wrong order, then they are put in order", () => {
    const { rig, client } = held(STREAM, "stream open\n");
    rig.stream("c", "one\n", { id: "a" });
    rig.send("c", "http-stream", { action: "close" }, { id: "e", "prev-id": "d" });
    rig.stream("c", "four\n", { id: "d", "prev-id": "c" });
    rig.stream("c", "three\n", { id: "c", "prev-id": "b" });
    rig.stream("c", "two\n", { id: "b", "prev-id": "a" });
    expect(client).toMatchObject({
      body: "stream open\none\ntwo\nthree\nfour\n",
      end: "complete",
    });
  });

  test("handler R54: when content is binary, then its bytes arrive", () => {
    const { rig, client } = held();
    rig.send("c", "http-stream", { "content-bin": "AAH/" });
    expect(client.body).toBe("\u0000\u0001\u00ff");
  });

  test("handler R55: when the stream ends, then its end is said, however the client frames it", () => {
    const { rig, client } = held();
    rig.stream("c", "x");
    rig.send("c", "http-stream", { action: "close" });
    expect(client).toMatchObject({ body: "x", end: "complete" });
    expect(client.headers).not.toContain("Content-Length");
  });

  const keepAliveAt = (value: string, untilMs: number, item?: number) => {
    const { rig, client } = held([...STREAM, "Grip-Keep-Alive", value]);
    const times: number[] = [];
    let count = 0;
    for (let atMs = 0; atMs < untilMs; atMs += 25) {
      if (atMs === item) rig.stream("c", "i");
      rig.advance(25);
      const now = client.body.split("k").length - 1;
      if (now > count) times.push(atMs + 25);
      count = now;
    }
    return times;
  };

  test("handler R56: when a keep-alive is idle, then an item starts its time anew", () => {
    const [first = 0, second = 0] = keepAliveAt("k; timeout=2", 8000, 1000);
    expect(first).toBeGreaterThanOrEqual(2000);
    expect(first).toBeLessThanOrEqual(3025);
    expect(second - first).toBeGreaterThanOrEqual(1000);
    expect(second - first).toBeLessThanOrEqual(2025);
  });

  test("handler R57: when a keep-alive is by interval, then items do not matter", () => {
    const [first = 0] = keepAliveAt("k; timeout=2; mode=interval", 8000, 1000);
    expect(first).toBeGreaterThanOrEqual(1000);
    expect(first).toBeLessThanOrEqual(2025);
  });

  test("handler R58: when JSON says idle, then idle it is", () => {
    // The original reads it as interval; that defect is not kept.
    const instruct = {
      hold: {
        mode: "stream",
        channels: [{ name: "c" }],
        "keep-alive": { content: "k", timeout: 2, mode: "idle" },
      },
    };
    const rig = new HandlerRig();
    const client = rig.hold(["Content-Type", "application/grip-instruct"], JSON.stringify(instruct));
    rig.advance(1000);
    rig.stream("c", "i");
    rig.advance(975);
    expect(client.body).toBe("i");
    rig.advance(1100);
    expect(client.body).toBe("ik");
  });

  test("handler R75: when there is no link, then a hint does nothing", () => {
    const { rig, client } = held();
    rig.send("c", "http-stream", { action: "hint" });
    rig.stream("c", "after\n");
    expect(client.body).toBe("after\n");
    expect(rig.asked).toEqual([]);
  });

  test("handler R76: when a client takes no more, then the newest items are dropped, in order", () => {
    const { rig, client } = held();
    client.isStalled = true;
    const item = "x".repeat(20_000);
    for (let i = 0; i < 600; i += 1) rig.stream("c", `${String(i).padStart(4, "0")}${item}`);
    client.isStalled = false;
    const taken = client.body.length;
    rig.fromClient(client, (packet) => {
      packet.type = "credit";
      packet.credits = 20_000_000;
    });
    const numbers = [...client.body.matchAll(/(\d{4})x/g)].map((one) => Number(one[1]));
    expect(numbers).toEqual(numbers.map((_, i) => i));
    expect(client.body.length - taken).toBeLessThan(110 * 20_004);
    expect(numbers.length).toBeGreaterThan(100);
    expect(numbers.length).toBeLessThan(200);
  });

  test("handler R77: when the client goes away, then the gone link is told once", () => {
    const { rig, client } = held([...STREAM, "Grip-Link", "</gone>; rel=gone"]);
    rig.disconnect(client);
    expect(rig.asked.map((one) => [one.method, one.uri, one.body])).toEqual([
      ["POST", "http://h/gone", ""],
    ]);
  });
});

describe("given a response with a next link", () => {
  test("handler R59, R60: when nothing is held, then the link's body follows and it ends", () => {
    for (const isSent of [false, true]) {
      const rig = new HandlerRig();
      const client = rig.hold(
        [...TEXT, ...LINK],
        isSent ? "" : "hello world\n",
        isSent ? { more: { "response-sent": true }, state: { "response-code": 200 } } : {},
      );
      rig.answer(rig.open[0] as Asked, 200, TEXT, "this is what's next\n");
      const first = isSent ? "" : "hello world\n";
      expect(client).toMatchObject({ body: `${first}this is what's next\n`, end: "complete" });
      expect(client.code).toBe(isSent ? 0 : 200);
    }
  });

  test("handler R61: when the link is on another host, then it goes there by itself", () => {
    const rig = new HandlerRig();
    rig.hold([...TEXT, "Grip-Link", "<http://other/next>; rel=next"]);
    expect(rig.asked[0]?.uri).toBe("http://other/next");
    expect(rig.asked[0]?.passthrough?.get("prefer-internal")).toBeUndefined();
    const own = new HandlerRig();
    own.hold([...TEXT, ...LINK]);
    expect(own.asked[0]?.passthrough?.get("prefer-internal")).toBe(true);
  });

  test("handler R62: when links lead to links, then each is a GET without the client's headers", () => {
    const rig = new HandlerRig();
    const client = rig.hold([...TEXT, ...LINK], "0", {
      request: { headers: ["Host", "h", "Cookie", "secret"] },
    });
    for (const next of ["</b>; rel=next", "</c>; rel=next"])
      rig.answer(rig.open[0] as Asked, 200, [...TEXT, "Grip-Link", next], "+");
    rig.answer(rig.open[0] as Asked, 200, TEXT, "!");
    expect(client).toMatchObject({ body: "0++!", end: "complete" });
    expect(rig.asked.map((one) => [one.method, one.uri])).toEqual([
      ["GET", "http://h/next"],
      ["GET", "http://h/b"],
      ["GET", "http://h/c"],
    ]);
    expect(rig.asked.flatMap((one) => one.headers).join()).not.toContain("secret");
  });

  const withPrev = (id: string) => [...TEXT, "Grip-Hold", "stream", "Grip-Channel", `c; prev-id=${id}`];

  test("handler R63: when an item does not follow, then the link is asked with what is known", () => {
    const rig = new HandlerRig();
    const client = rig.hold([...withPrev("1"), ...LINK], "open\n");
    rig.stream("c", "seven\n", { id: "7", "prev-id": "6" });
    rig.advance(300);
    expect(lastIdsOf(rig.open[0])).toEqual(["c; last-id=1"]);
    rig.answer(rig.open[0] as Asked, 200, [...withPrev("5"), ...LINK], "rec\n");
    rig.stream("c", "six\n", { id: "6", "prev-id": "5" });
    expect(client.body).toBe("open\nrec\nsix\n");
  });

  test("handler R64: when items come while the link is asked, then they follow its body", () => {
    const rig = new HandlerRig();
    const client = rig.hold([...withPrev("1"), ...LINK]);
    rig.send("c", "http-stream", { action: "hint" });
    rig.advance(300);
    rig.stream("c", "six\n", { id: "6", "prev-id": "5" });
    rig.stream("c", "seven\n", { id: "7", "prev-id": "6" });
    rig.answer(rig.open[0] as Asked, 200, [...withPrev("5"), ...LINK], "rec\n");
    expect(client.body).toBe("rec\nsix\nseven\n");
  });

  test.each([
    [false, "init\n"],
    [true, "init\n\n\nchannel 'c' specifies prev-id, but no next link found\n"],
  ])("handler R65, R66: when there is a prev-id and no link (debug %s), then it ends", (debug, body) => {
    const rig = new HandlerRig();
    const client = rig.hold(withPrev("1"), "init\n", debug ? { state: { debug: true } } : {});
    expect(client).toMatchObject({ body, end: "complete" });
  });

  test.each([false, true])("handler R67, R68: when the link fails for ever (debug %s), then it is tried six times", (debug) => {
    const rig = new HandlerRig();
    const client = rig.hold([...TEXT, ...LINK], "x", debug ? { state: { debug: true } } : {});
    const times: number[] = [];
    for (let i = 0; i < 4000; i += 1) {
      for (const asked of rig.open) {
        times.push(rig.nowMs - 1000);
        rig.answer(asked, 404, TEXT);
      }
      rig.advance(10);
    }
    expect(times.length).toBe(6);
    const ranges = [[0, 0], [1000, 2100], [3000, 5200], [7000, 10_300], [15_000, 19_400], [31_000, 36_500]]; // prettier-ignore
    for (const [i, [low = 0, high = 0]] of ranges.entries()) {
      expect(times[i]).toBeGreaterThanOrEqual(low);
      expect(times[i]).toBeLessThanOrEqual(high);
    }
    expect(client.end).toBe(debug ? "complete" : client.end);
    expect(client.body).toBe(debug ? "x\n\nFailed to retrieve next link.\n" : "x");
    expect(client.end).toBeDefined();
  });

  test("handler R69: when the link holds a response, then that is an error", () => {
    const rig = new HandlerRig();
    const client = rig.hold([...TEXT, ...LINK], "x", { state: { debug: true } });
    rig.answer(rig.open[0] as Asked, 200, [...TEXT, "Grip-Hold", "response"], "");
    expect(client.body).toBe("x\n\nNext link returned non-stream hold.\n");
  });

  test("handler R70: when many have the same link, then they ask together", () => {
    const rig = new HandlerRig({ recoverConcurrency: 1 });
    for (let i = 0; i < 3; i += 1) rig.hold([...STREAM, ...LINK]);
    rig.hold([...STREAM, "Grip-Link", "</other>; rel=next"]);
    rig.send("c", "http-stream", { action: "hint" });
    rig.advance(300);
    // Equal ones are under way together, and marked for the proxy to make one of; others wait.
    expect(rig.asked.map((one) => one.uri)).toEqual(Array(3).fill("http://h/next"));
    expect(rig.asked.every((one) => one.passthrough?.get("auto-share") === true)).toBe(true);
    for (const asked of rig.open) rig.answer(asked, 200, [...STREAM, ...LINK]);
    expect(rig.open.map((one) => one.uri)).toEqual(["http://h/other"]);
  });

  test("handler R71: when the link has a timeout, then it is asked again and again", () => {
    const rig = new HandlerRig();
    const headers = [...STREAM, "Grip-Link", "</next>; rel=next; timeout=2"];
    rig.hold(headers);
    const times: number[] = [];
    for (let i = 0; i < 900; i += 1) {
      rig.advance(10);
      for (const asked of rig.open) {
        times.push(rig.nowMs);
        rig.answer(asked, 200, headers);
      }
    }
    expect(times.length).toBeGreaterThanOrEqual(3);
    for (let i = 1; i < times.length; i += 1) {
      const gapMs = (times[i] as number) - (times[i - 1] as number);
      expect(gapMs).toBeGreaterThanOrEqual(2000);
      expect(gapMs).toBeLessThanOrEqual(2400);
    }
  });

  test("handler R72: when only one of two channels is active, then the link is asked all the same", () => {
    const rig = new HandlerRig();
    const headers = [...TEXT, "Grip-Hold", "stream", "Grip-Channel", "a, b", "Grip-Link", "</n>; rel=next; timeout=3"]; // prettier-ignore
    rig.hold(headers);
    for (let i = 0; i < 4; i += 1) {
      rig.advance(900);
      rig.stream("a", "x");
    }
    rig.advance(300);
    expect(rig.asked.length).toBe(1);
  });

  test("handler R73, R74: when the link's response changes channel, meta and keep-alive, then the new ones count", () => {
    const rig = new HandlerRig();
    const client = rig.hold([...STREAM, ...LINK, "Grip-Keep-Alive", "k; timeout=2"]);
    rig.send("c", "http-stream", { action: "hint" });
    rig.advance(100);
    rig.answer(rig.open[0] as Asked, 200, [
      ...TEXT,
      ...["Grip-Hold", "stream", "Grip-Channel", "d; filter=var-subst", "Grip-Set-Meta", "u=2"],
      ...LINK,
    ]);
    rig.stream("c", "old");
    rig.stream("d", "new %(u)s");
    rig.advance(10_000);
    expect(client.body).toBe("new 2");
  });
});

describe("given filters of a subscription", () => {
  const withFilters = (filters: readonly string[], meta = "", more = {}) => {
    const rig = new HandlerRig();
    const parameters = filters.map((one) => `; filter=${one}`).join("");
    const headers = [...TEXT, "Grip-Hold", "stream", "Grip-Channel", `c${parameters}`];
    if (meta !== "") headers.push("Grip-Set-Meta", meta);
    return { rig, client: rig.hold(headers, "", more) };
  };

  test("handler R78: when skip-self and var-subst are asked for, then both work", () => {
    const { rig, client } = withFilters(["skip-self", "var-subst"], "user=alice");
    rig.stream("c", "hello %(user)s\n");
    rig.stream("c", "own\n", { meta: { sender: "alice" } });
    expect(client.body).toBe("hello alice\n");
  });

  test("handler R79: when users are to be skipped, then the list decides", () => {
    const { rig, client } = withFilters(["skip-users"], "user=bob");
    rig.stream("c", "no", { meta: { skip_users: "al, bob ,c" } });
    rig.stream("c", "yes", { meta: { skip_users: "al" } });
    expect(client.body).toBe("yes");
  });

  test("handler R80: when an item requires a subscription, then only those with it get it", () => {
    const { rig, client } = withFilters(["require-sub"]);
    rig.stream("c", "no", { meta: { require_sub: "zz" } });
    rig.stream("c", "yes", { meta: { require_sub: "c" } });
    expect(client.body).toBe("yes");
  });

  test("handler R81: when an item names filters that change content, then they have to match", () => {
    const { rig, client } = withFilters(["var-subst"], "x=1");
    const send = (content: string, filters?: string[]) =>
      rig.send("c", "http-stream", {
        content,
        ...(filters === undefined ? {} : { "content-filters": filters }),
      });
    send("a", ["var-subst"]);
    send("b", []);
    send("c");
    expect(client.body.startsWith("a")).toBe(true);
    expect(client.body).not.toContain("b");
  });

  const poll = (more = {}) => {
    const rig = new HandlerRig();
    const headers = [...TEXT, "Grip-Hold", "response", "Grip-Channel", "c; filter=var-subst"];
    return { rig, client: rig.hold(headers, "", more) };
  };

  test("handler R82, R83: when they do not match on a long poll, then nothing, or in debug the reason", () => {
    const quiet = poll();
    quiet.rig.send("c", "http-response", { body: "x", "content-filters": ["build-id"] });
    expect(quiet.client.code).toBe(0);
    const loud = poll({ state: { debug: true } });
    loud.rig.send("c", "http-response", { body: "x", "content-filters": ["build-id"] });
    expect(loud.client.body).toBe(
      "content filter mismatch: subscription=var-subst message=build-id\n",
    );
  });

  test("handler R84, R88: when content is a template, then variables are put in, and faults named", () => {
    const { rig, client } = withFilters(["var-subst"], "name=Alice");
    rig.stream("c", "My name is %(name)s and I eat 10%% of the time.");
    expect(client.body).toBe("My name is Alice and I eat 10% of the time.");
    for (const [content, words] of [
      ["100%", "Expected directive after '%' at position 3"],
      ["%d", "Unknown directive 'd' at position 1"],
      ["%s", "Directive 's' requires argument at position 1"],
    ] as const) {
      const debug = withFilters(["var-subst"], "", { state: { debug: true } });
      debug.rig.stream("c", content);
      expect([content, debug.client.body.includes(words)]).toEqual([content, true]);
    }
  });

  test("handler R87: when ids are built, then content has them", () => {
    const rig = new HandlerRig();
    const client = rig.hold([
      ...TEXT,
      ...["Grip-Hold", "stream", "Grip-Channel", "c; prev-id=a1; filter=build-id"],
      ...["Grip-Set-Meta", "id_format=pre-%(c)s, id_encoding=hex"],
      ...LINK,
    ]);
    rig.stream("c", "msg id=%I\n", { id: "a2", "prev-id": "a1" });
    expect(client.body).toBe("msg id=7072652d6132\n");
  });

  test("handler R89: when a filter is unknown, then it does nothing", () => {
    const { rig, client } = withFilters(["zzz"]);
    rig.stream("c", "same");
    expect(client.body).toBe("same");
  });

  const asks = (name: string, code: number, headers: string[], body = ""): Client => {
    const { rig, client } = withFilters([name], "url=/check", { state: { debug: true } });
    rig.stream("c", "hello world");
    rig.advance(100);
    const asked = rig.open[0];
    if (asked === undefined) throw new Error("nobody was asked");
    expect(asked.method).toBe("POST");
    rig.answer(asked, code, headers, body);
    return client;
  };

  test("handler R90: when an endpoint checks items, then it decides", () => {
    expect(asks("http-check", 200, []).body).toBe("hello world");
    expect(asks("http-check", 200, ["Action", "drop"]).body).toBe("");
    expect(asks("http-check", 400, []).body).toContain("unexpected network request status: code=400");
  });

  test("handler R91: when an endpoint changes items, then its body is the content", () => {
    expect(asks("http-modify", 204, []).body).toBe("hello world");
    expect(asks("http-modify", 200, [], "<<<hello world>>>").body).toBe("<<<hello world>>>");
    expect(asks("http-modify", 200, [], "x".repeat(100_001)).body).toContain(
      "network response exceeded",
    );
  });
});
