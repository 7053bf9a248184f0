import type { JsonValue } from "@pushpin/grip";
import { encode, type TnetInput } from "@pushpin/tnetstrings";
import { describe, expect, test } from "vitest";
import { readPacket, type ShownPacket } from "./shown-packet.ts";
import { StatsView } from "./stats-view.ts";
import { renderChange, SUBSCRIPTIONS_KNOWN_MAX, SubscriptionList } from "./subscription-list.ts";

const packet = (topic: string, fields: Record<string, JsonValue>): ShownPacket => ({ topic, fields });
const sub = (channel: string, subscribers: number, more: Record<string, JsonValue> = {}) =>
  packet("sub", { mode: "stream", channel, subscribers, ttl: 60, ...more });

describe("given packets of the statistics socket", () => {
  test("when they are read, then both formats say the same", () => {
    const fields = { channel: "caf\u00c3\u00a9", count: 3 } satisfies Record<string, TnetInput>;
    const expected = { ok: true, value: packet("message", { channel: "café", count: 3 }) };
    const t = Buffer.concat([Buffer.from("message T"), encode(fields)]);
    expect(readPacket(t)).toEqual(expected);
    expect(readPacket(Buffer.from('message J{"channel":"café","count":3}'))).toEqual(expected);
  });

  test.each(["", "x", "message", "message X{}", "message J{", "message J[]", "message T3:abc,", " J{}"])(
    "when %j comes, then it is refused",
    (text) => expect(readPacket(Buffer.from(text)).ok).toBe(false),
  );
});

describe("given a list of subscriptions", () => {
  const told = (list: SubscriptionList, one: ShownPacket, nowMs = 0) =>
    list.receive(one, nowMs).map(renderChange);

  test("when they come, change and go, then each is told once", () => {
    const list = new SubscriptionList();
    expect(told(list, sub("a", 1))).toEqual(["SUB stream a 1"]);
    expect(told(list, sub("a", 1))).toEqual([]);
    expect(told(list, sub("a", 2))).toEqual(["SUB stream a 2"]);
    expect(told(list, sub("a", 0, { unavailable: true }))).toEqual(["UNSUB stream a"]);
    expect(told(list, sub("a", 0, { unavailable: true }))).toEqual([]);
    expect(told(list, packet("conn", {}))).toEqual([]);
  });

  test("when nobody confirms one in its time, then it is gone", () => {
    const list = new SubscriptionList();
    told(list, sub("a", 1), 0);
    told(list, sub("a", 1), 30_000);
    expect(list.expire(89_999)).toEqual([]);
    expect(list.expire(90_000).map(renderChange)).toEqual(["UNSUB stream a"]);
  });

  test("when there are too many, then they are told, and not remembered", () => {
    const list = new SubscriptionList();
    for (let i = 0; i < SUBSCRIPTIONS_KNOWN_MAX; i += 1) list.receive(sub(String(i), 1), 0);
    expect(told(list, sub("more", 1))).toEqual(["SUB stream more 1"]);
    expect(list.all.length).toBe(SUBSCRIPTIONS_KNOWN_MAX);
  });
});

describe("given the table of statistics", () => {
  const filled = () => {
    const view = new StatsView();
    const at = 1_000_000;
    view.receive(packet("counts", { from: "handler-0-x", "requests-received": 50 }), at);
    view.receive(packet("conn", { id: "1", type: "http", ttl: 120 }), at);
    view.receive(packet("conn", { id: "2", type: "ws", ttl: 120 }), at);
    view.receive(sub("news", 40), at);
    view.receive(sub("quiet", 2), at);
    for (let i = 0; i < 5; i += 1)
      view.receive(packet("message", { channel: "news", count: 40, transport: "http-stream" }), at);
    view.receive(packet("report", { route: "r", connections: 7, sent: 9, from: "handler-0-x" }), at);
    return { view, at };
  };

  test("when it is drawn, then it has totals, routes and channels, the busiest first", () => {
    const { view, at } = filled();
    expect(view.render(at + 500, 100, 20)).toEqual([
      "handler-0-x",
      "requests 5.0/s   published 0.5/s   delivered 20.0/s   connections 2 (http 1, ws 1)   channels 2",
      "",
      "ROUTE  CONNECTIONS  MINUTES  RECEIVED  SENT",
      "r                7        0         0     9",
      "",
      "CHANNEL  SUBSCRIBERS  PUBLISHED/s  DELIVERED/s",
      "news              40          0.5         20.0",
      "quiet              2          0.0          0.0",
    ]);
  });

  test("when the screen is small, then nothing goes beyond it", () => {
    const { view, at } = filled();
    const lines = view.render(at, 20, 4);
    expect(lines.length).toBe(4);
    expect(Math.max(...lines.map((one) => one.length))).toBeLessThanOrEqual(20);
  });

  test("when time passes, then rates fall to nothing and what was not confirmed goes", () => {
    const { view, at } = filled();
    view.expire(at + 11_000);
    expect(view.render(at + 11_000, 100, 20)[1]).toMatch(/^requests 0.0\/s {3}published 0.0\/s/);
    view.expire(at + 121_000);
    expect(view.render(at + 121_000, 100, 20)).toEqual([
      "handler-0-x",
      "requests 0.0/s   published 0.0/s   delivered 0.0/s   connections 0 (http 0, ws 0)   channels 0",
      "",
      "CHANNEL  SUBSCRIBERS  PUBLISHED/s  DELIVERED/s",
    ]);
  });

  test("when a name would move the cursor, then it does not", () => {
    const view = new StatsView();
    view.receive(sub("a\u001b[2Jb", 1), 0);
    expect(view.render(0, 80, 20).join("\n")).toContain("a.[2Jb");
  });
});
