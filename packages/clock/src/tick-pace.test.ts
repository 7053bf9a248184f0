import { describe, expect, test } from "vitest";
import { REST_MS, TickPace } from "./tick-pace.ts";

const TICK_MS = 25;

/** Delays of so many ticks behind one another. */
const delays = (pace: TickPace, count: number, isWaiting = false) =>
  Array.from({ length: count }, () => pace.delayMs(isWaiting));

describe("given a process to which nothing happens", () => {
  test("when a few ticks have passed, then they become rare", () => {
    expect(delays(new TickPace(TICK_MS), 5)).toEqual([TICK_MS, TICK_MS, TICK_MS, REST_MS, REST_MS]);
  });

  test("when something happens, then the next tick is brought forward, once, and the next ones too", () => {
    const pace = new TickPace(TICK_MS);
    delays(pace, 6);
    expect([pace.event(), pace.event()]).toEqual([true, false]);
    expect(delays(pace, 4)).toEqual([TICK_MS, TICK_MS, TICK_MS, REST_MS]);
  });

  test("when something waits for its turn, then ticks stay close", () => {
    const pace = new TickPace(TICK_MS);
    expect(delays(pace, 6, true)).toEqual(Array.from({ length: 6 }, () => TICK_MS));
    expect(pace.event()).toBe(false);
  });
});
