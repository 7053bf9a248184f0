import { describe, expect, test } from "vitest";
import { RateLimiter } from "./rate-limiter.ts";

function run(limiter: RateLimiter, untilMs: number): void {
  for (let due = limiter.dueMs; due !== undefined && due <= untilMs; due = limiter.dueMs)
    limiter.advance(due);
}

describe("given a limited rate", () => {
  test("handler R130: when 100 actions come at rate 100 and hwm 50, then 3 run at once, 3 each 25 ms, 50 are refused", () => {
    const limiter = new RateLimiter({ rate: 100, hwm: 50, batchWait: false });
    const ran: number[] = [];
    let now = 0;
    let refused = 0;
    for (let i = 0; i < 100; i += 1)
      if (!limiter.add("", 1, () => ran.push(now) > 0, 0)) refused += 1;
    expect(refused).toBe(50);
    for (now = 0; now <= 1000; now += 5) limiter.advance(now);
    expect(ran.length).toBe(50);
    expect(ran.filter((ms) => ms === 0).length).toBe(3);
    expect(ran.filter((ms) => ms === 25).length).toBe(3);
  });

  test("when actions weigh 30 at rate 100, then one runs every 250 ms", () => {
    const limiter = new RateLimiter({ rate: 100, hwm: 0, batchWait: false });
    const ran: number[] = [];
    let now = 0;
    for (let i = 0; i < 3; i += 1) limiter.add("", 30, () => ran.push(now) > 0, 0);
    for (now = 0; now <= 1000; now += 25) limiter.advance(now);
    expect(ran).toEqual([0, 250, 500]);
  });

  test("when the limit is taken away, then what waits goes first, and the rest at once", () => {
    const limiter = new RateLimiter({ rate: 1, hwm: 0, batchWait: false });
    const ran: number[] = [];
    const add = (n: number) => limiter.add("", 1, () => ran.push(n) > 0, 0);
    for (let n = 0; n < 4; n += 1) add(n);
    limiter.advance(0);
    expect(ran).toEqual([0]);
    limiter.configure({ rate: -1, hwm: -1 }, 10);
    expect(ran).toEqual([0, 1, 2, 3]);
    add(4);
    expect(ran).toEqual([0, 1, 2, 3, 4]);
    expect(limiter.dueMs).toBeUndefined();
  });

  test("when a limit comes, then it counts from then on", () => {
    const limiter = new RateLimiter({ rate: -1, hwm: -1, batchWait: false });
    let ran = 0;
    const add = () => limiter.add("", 1, () => (ran += 1) > 0, 0);
    for (let n = 0; n < 10; n += 1) add();
    expect(ran).toBe(10);
    limiter.configure({ rate: 40, hwm: 3 }, 0);
    expect([add(), add(), add(), add()]).toEqual([true, true, true, false]);
    limiter.advance(0);
    expect(ran).toBe(11);
  });

  test("when two buckets have work, then they take turns, and idle actions cost nothing", () => {
    const limiter = new RateLimiter({ rate: 10, hwm: 0, batchWait: true });
    const ran: string[] = [];
    for (const name of ["a1", "a2"]) limiter.add("a", 1, () => ran.push(name) > 0, 0);
    limiter.add("b", 1, () => ran.push("b1") > 0, 0);
    run(limiter, 99);
    expect(ran).toEqual([]);
    run(limiter, 300);
    expect(ran).toEqual(["a1", "b1", "a2"]);
    limiter.add("a", 1, () => false, 1000);
    limiter.add("a", 1, () => ran.push("a3") > 0, 1000);
    run(limiter, 1100);
    expect(ran.at(-1)).toBe("a3");
    expect(limiter.dueMs).toBeUndefined();
  });
});
