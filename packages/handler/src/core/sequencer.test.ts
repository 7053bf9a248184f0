import { describe, expect, test } from "vitest";
import { PENDING_ITEMS_MAX, type Sequenced, Sequencer } from "./sequencer.ts";

const item = (id?: string, prevId?: string, rest: Partial<Sequenced> = {}): Sequenced => ({
  channel: "c",
  id,
  prevId,
  ...rest,
});
const ids = (items: Sequenced[]) => items.map((one) => one.id);
const open = (messageWaitMs = 3000, idCacheTtlMs = 0) =>
  new Sequencer<Sequenced>({ messageWaitMs, idCacheTtlMs });

describe("given a channel with a subscriber", () => {
  test("handler R123: when items come out of order, then they go out in order of their chain", () => {
    const sequencer = open();
    expect(ids(sequencer.add(item("a"), true, 0))).toEqual(["a"]);
    expect(sequencer.add(item("d", "c"), true, 0)).toEqual([]);
    expect(sequencer.add(item("c", "b"), true, 0)).toEqual([]);
    expect(ids(sequencer.add(item("b", "a"), true, 0))).toEqual(["b", "c", "d"]);
  });

  test("handler R124, R125: when the predecessor stays away, then items go out after the wait, and late ones wait too", () => {
    const sequencer = open();
    sequencer.add(item("a"), true, 0);
    sequencer.add(item("d", "c"), true, 100);
    sequencer.add(item("e", "d"), true, 200);
    expect(sequencer.expire(3099)).toEqual([]);
    expect(ids(sequencer.expire(3100))).toEqual(["d", "e"]);
    expect(sequencer.add(item("b", "a"), true, 4000)).toEqual([]);
    expect(ids(sequencer.expire(7000))).toEqual(["b"]);
    expect(sequencer.add(item("f", "e"), true, 7001)).toEqual([]);
  });

  test("handler R126: when two items wait for the same one, then only the first is kept", () => {
    const sequencer = open();
    sequencer.add(item("a"), true, 0);
    sequencer.add(item("c1", "b"), true, 0);
    sequencer.add(item("c2", "b"), true, 0);
    expect(ids(sequencer.add(item("b", "a"), true, 0))).toEqual(["b", "c1"]);
    expect(sequencer.dropped).toBe(1);
  });

  test("handler R127: when an id comes twice within the ttl, then the second is dropped, subscribers or not", () => {
    const sequencer = open(3000, 60_000);
    expect(ids(sequencer.add(item("a"), false, 0))).toEqual(["a"]);
    expect(sequencer.add(item("a"), true, 59_999)).toEqual([]);
    expect(ids(sequencer.add(item("a"), true, 60_000))).toEqual(["a"]);
    expect(ids(sequencer.add(item(undefined), true, 60_000))).toEqual([undefined]);
  });

  test("handler R128: when an item says no-seq, then it goes out at once and the last id stays", () => {
    const sequencer = open();
    sequencer.add(item("a"), true, 0);
    expect(ids(sequencer.add(item("x", "zz", { noSeq: true }), true, 0))).toEqual(["x"]);
    expect(sequencer.lastId("c")).toBe("a");
  });

  test("handler R129: when an item has no id, then the next one goes out whatever its prev-id", () => {
    const sequencer = open();
    sequencer.add(item("a"), true, 0);
    sequencer.add(item(), true, 0);
    expect(ids(sequencer.add(item("z", "y"), true, 0))).toEqual(["z"]);
  });

  test("when too many wait, then the excess is dropped; when the channel goes, then all are", () => {
    const sequencer = open();
    sequencer.add(item("a"), true, 0);
    for (let i = 0; i <= PENDING_ITEMS_MAX; i += 1) sequencer.add(item(`x${i}`, `p${i}`), true, 0);
    expect(sequencer.dropped).toBe(1);
    sequencer.dropChannel("c");
    expect(sequencer.expire(1e6)).toEqual([]);
    expect(sequencer.lastId("c")).toBeUndefined();
  });
});
