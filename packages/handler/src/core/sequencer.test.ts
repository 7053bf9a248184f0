import type { PublishItem } from "@pushpin/grip";
import { describe, expect, test } from "vitest";
import { Sequencer } from "./sequencer.ts";
import { Subscriptions } from "./subscriptions.ts";

const item = (
  id: string | undefined,
  prevId?: string,
  extra: Partial<PublishItem> = {},
): PublishItem => ({
  channel: "c",
  id,
  prevId,
  noSeq: false,
  httpResponse: undefined,
  httpStream: undefined, wsMessage: undefined, meta: new Map(), size: undefined,
  ...extra,
});
const sequencer = (isSubscribed = true) =>
  new Sequencer({ waitMs: 3000, idTtlMs: 60_000, isSubscribed: () => isSubscribed });
const ids = (items: PublishItem[]) => items.map((one) => one.id);

describe("given a subscribed channel", () => {
  test("handler R123: when items come out of order, then they go out in order", () => {
    const one = sequencer();
    expect(ids(one.receive(item("a"), 0))).toEqual(["a"]);
    expect(ids(one.receive(item("d", "c"), 0))).toEqual([]);
    expect(ids(one.receive(item("c", "b"), 0))).toEqual([]);
    expect(ids(one.receive(item("b", "a"), 0))).toEqual(["b", "c", "d"]);
  });

  test("handler R124: when the missing one never comes, then the others go after message_wait", () => {
    const one = sequencer();
    one.receive(item("a"), 0);
    one.receive(item("d", "c"), 0);
    one.receive(item("e", "d"), 0);
    expect(one.expire(2999)).toEqual([]);
    expect(ids(one.expire(3000))).toEqual(["d", "e"]);
  });

  test("handler R126, R128, R129: when ids repeat, are unsequenced or absent, then the rules of section 8 hold", () => {
    const one = sequencer();
    one.receive(item("a"), 0);
    one.receive(item("x", "p"), 0);
    one.receive(item("y", "p"), 0);
    expect(one.dropped).toBe(1);
    expect(ids(one.receive(item("n", "wrong", { noSeq: true }), 0))).toEqual(["n"]);
    expect(one.lastId("c")).toBe("a");
    expect(ids(one.receive(item(undefined, "a"), 0))).toEqual([undefined]);
    expect(ids(one.receive(item("q", "unknown"), 0))).toEqual(["q"]);
  });

  test("handler R127: when an id comes twice within the ttl, then the second is dropped, later it is not", () => {
    const one = sequencer(false);
    expect(ids(one.receive(item("a"), 0))).toEqual(["a"]);
    expect(ids(one.receive(item("a"), 59_000))).toEqual([]);
    expect(ids(one.receive(item("a"), 200_000))).toEqual(["a"]);
  });
});

test("given subscribers, when the first comes and the last goes, then each is told once", () => {
  const told: string[] = [];
  const one = new Subscriptions<number>(
    (channel) => told.push(`+${channel}`),
    (channel) => told.push(`-${channel}`),
  );
  one.add("c", 1);
  one.add("c", 2);
  one.remove("c", 1);
  one.remove("c", 1);
  one.remove("c", 2);
  expect(told).toEqual(["+c", "-c"]);
});
