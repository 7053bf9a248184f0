import { describe, expect, test } from "vitest";
import { ManualClock, TimerWheel, type WheelEntry } from "./index.ts";

describe("given a manual clock", () => {
  test("when it advances, then timers run in order of their due times, also those set meanwhile", () => {
    const clock = new ManualClock();
    const ran: string[] = [];
    clock.setTimer(20, () => ran.push(`b${clock.nowMs()}`));
    clock.setTimer(10, () => {
      ran.push(`a${clock.nowMs()}`);
      clock.setTimer(5, () => ran.push(`c${clock.nowMs()}`));
    });
    clock.setTimer(30, () => ran.push("late")).cancel();
    clock.advance(40);
    expect(ran).toEqual(["a10", "c15", "b20"]);
  });
});

describe("given a timer wheel", () => {
  interface Entry extends WheelEntry {
    name: string;
  }
  const due = (wheel: TimerWheel<Entry>, nowMs: number) => {
    const names: string[] = [];
    wheel.advance(nowMs, (entry) => names.push(entry.name));
    return names;
  };

  test("when time passes, then each entry is due once, within a tick, and not early", () => {
    const wheel = new TimerWheel<Entry>(100, 8, 0);
    wheel.schedule({ name: "a" }, 250);
    wheel.schedule({ name: "far" }, 2050);
    expect(due(wheel, 249)).toEqual([]);
    expect(due(wheel, 300)).toEqual(["a"]);
    expect(due(wheel, 2000)).toEqual([]);
    expect(due(wheel, 2100)).toEqual(["far"]);
    expect(due(wheel, 9000)).toEqual([]);
  });

  test("when an entry is moved or cancelled, then only the newest time counts", () => {
    const wheel = new TimerWheel<Entry>(100, 8, 0);
    const moved = { name: "moved" };
    const cancelled = { name: "cancelled" };
    wheel.schedule(moved, 200);
    wheel.schedule(cancelled, 200);
    wheel.schedule(moved, 500);
    wheel.cancel(cancelled);
    expect(due(wheel, 400)).toEqual([]);
    expect(due(wheel, 500)).toEqual(["moved"]);
  });
});
