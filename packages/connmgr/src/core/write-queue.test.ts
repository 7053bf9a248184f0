import { describe, expect, test } from "vitest";
import { FAN_OUT_WRITES_MAX, WriteQueue } from "./write-queue.ts";

function queueOf(): { queue: WriteQueue<number>; written: number[] } {
  const written: number[] = [];
  return { queue: new WriteQueue<number>((item) => written.push(item)), written };
}

const numbers = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

describe("given clients of a fan-out, more than one turn writes to", () => {
  test("then each turn writes to its share, in the order in which they came, and says when none is left", () => {
    const { queue, written } = queueOf();
    const all = numbers(0, 5 * FAN_OUT_WRITES_MAX + 1);
    for (const item of all) queue.addFanOut(item);
    for (let turn = 1; turn <= 5; turn += 1) {
      expect(queue.flushFanOut()).toBe(false);
      expect(written.length).toBe(turn * FAN_OUT_WRITES_MAX);
    }
    expect(queue.flushFanOut()).toBe(true);
    expect(written).toEqual(all);
    expect(queue.flushFanOut()).toBe(true);
    expect(written.length).toBe(all.length);
  });

  test("when more come between turns, then they come behind the others, and none twice", () => {
    const { queue, written } = queueOf();
    let next = 0;
    for (let turn = 0; turn < 40; turn += 1) {
      const come = (turn * 97) % (2 * FAN_OUT_WRITES_MAX);
      for (const item of numbers(next, come)) queue.addFanOut(item);
      next += come;
      queue.flushFanOut();
    }
    while (!queue.flushFanOut());
    expect(written).toEqual(numbers(0, next));
  });

  test("when one has something of its own, then it is written to without waiting for them", () => {
    const { queue, written } = queueOf();
    for (const item of numbers(0, FAN_OUT_WRITES_MAX + 1)) queue.addFanOut(item);
    queue.add(-1);
    queue.flushOwn();
    expect(written).toEqual([-1]);
  });

  test("when writing adds one again, then it is written to in a later turn", () => {
    const written: number[] = [];
    const queue: WriteQueue<number> = new WriteQueue((item) => {
      written.push(item);
      if (written.length === 1) queue.addFanOut(7);
    });
    queue.addFanOut(1);
    expect(queue.flushFanOut()).toBe(false);
    expect(written).toEqual([1]);
    expect(queue.flushFanOut()).toBe(true);
    expect(written).toEqual([1, 7]);
  });
});
