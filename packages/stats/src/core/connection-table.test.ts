import { describe, expect, test } from "vitest";
import { type ConnectionInfo, ConnectionTable } from "./connection-table.ts";
import { Report } from "./report.ts";

function makeTable(ttlMs = 120_000) {
  const refreshed: { id: string; second: number }[] = [];
  let minutes = 0;
  let second = 0;
  const table = new ConnectionTable(ttlMs, 0, {
    refreshed: ({ id }) => refreshed.push({ id, second }),
    minutes: (_connection, count) => {
      minutes += count;
    },
  });
  const add = (id: string, unreportedMs?: number) =>
    table.add(info(id, unreportedMs), new Report(), second * 1000);
  const wait = (seconds: number) => {
    for (const until = second + seconds; second < until;) {
      second += 1;
      table.tick(second * 1000);
    }
  };
  return { table, add, wait, refreshed, minutes: () => minutes };
}

const info = (id: string, unreportedMs: number | undefined): ConnectionInfo => ({
  id,
  kind: "ws",
  route: "",
  peerAddress: "",
  secure: false,
  unreportedMs,
});

describe("given open connections", () => {
  test("when one stays for minutes, then the first counts at once and each when it is full", () => {
    const { add, wait, minutes } = makeTable();
    add("a");
    expect(minutes()).toBe(1);
    wait(59);
    expect(minutes()).toBe(1);
    wait(122);
    expect(minutes()).toBe(4);
  });

  test("when the process stood still, then no minute is lost", () => {
    const { table, add, minutes } = makeTable();
    add("a");
    table.tick(600_000);
    expect(minutes()).toBe(11);
  });

  test("when one was taken over, then the minute it has begun goes on", () => {
    const { add, wait, minutes } = makeTable();
    add("a", 59_000);
    expect(minutes()).toBe(0);
    wait(1);
    expect(minutes()).toBe(1);
  });

  test("when many came at once, then each is refreshed in time, and never all in one second", () => {
    const { add, wait, refreshed } = makeTable();
    for (let i = 0; i < 450; i += 1) add(String(i));
    wait(90);
    expect(new Set(refreshed.map((one) => one.id)).size).toBe(450);
    const perSecond = new Map<number, number>();
    for (const { second } of refreshed) perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
    expect(Math.max(...perSecond.values())).toBeLessThanOrEqual(10);
  });

  test.each([1000, 4000, 120_000])(
    "when the time to live is %i ms, then no pause between announcements is longer",
    (ttlMs) => {
      const { add, wait, refreshed } = makeTable(ttlMs);
      for (const id of ["a", "b", "c"]) add(id);
      wait(300);
      for (const id of ["a", "b", "c"]) {
        const seconds = [0, ...refreshed.filter((one) => one.id === id).map((one) => one.second)];
        seconds.push(300);
        const pauses = seconds.slice(1).map((second, i) => second - (seconds[i] as number));
        expect(Math.max(...pauses) * 1000).toBeLessThanOrEqual(ttlMs);
      }
    },
  );

  test("when it is added twice, then the first stays", () => {
    const { table, add } = makeTable();
    add("a");
    expect(add("a")).toBeUndefined();
    expect(table.size).toBe(1);
  });

  test("when it is given away, then it is not here any more, and forgotten after a while", () => {
    const { table, add, wait, refreshed } = makeTable();
    add("a");
    expect(table.giveAway("a", 0)).toBeDefined();
    expect(table.giveAway("a", 0)).toBeUndefined();
    expect([table.has("a"), table.size]).toEqual([false, 1]);
    wait(11);
    expect(table.size).toBe(0);
    wait(200);
    expect(refreshed).toEqual([]);
  });
});
