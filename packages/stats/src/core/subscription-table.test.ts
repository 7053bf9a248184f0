import { describe, expect, test } from "vitest";
import { SubscriptionTable } from "./subscription-table.ts";

function makeTable() {
  const told: (string | number)[][] = [];
  const table = new SubscriptionTable(60_000, 0, {
    present: (...all) => told.push(all),
    ended: (...all) => told.push([...all, "ended"]),
  });
  let second = 0;
  const wait = (seconds: number) => {
    for (const until = second + seconds; second < until;) {
      second += 1;
      table.tick(second * 1000);
    }
  };
  return { table, told, wait };
}

describe("given subscriptions", () => {
  test("when one stays, then it is told again within three quarters of its time to live", () => {
    const { table, told, wait } = makeTable();
    table.set("stream", "c", 2, 0);
    wait(45);
    expect(told).toEqual([
      ["stream", "c", 2],
      ["stream", "c", 2],
    ]);
  });

  test("when the number changes, then the change is told once at the next second", () => {
    const { table, told, wait } = makeTable();
    table.set("ws", "c", 1, 0);
    for (let count = 2; count < 100; count += 1) table.set("ws", "c", count, 0);
    wait(3);
    expect(told).toEqual([
      ["ws", "c", 1],
      ["ws", "c", 99],
    ]);
  });

  test("when it ends, then that is told at once and nothing follows", () => {
    const { table, told, wait } = makeTable();
    table.set("ws", "c", 1, 0);
    table.set("ws", "c", 2, 0);
    table.set("ws", "c", 0, 0);
    table.set("ws", "c", 0, 0);
    wait(120);
    expect(told).toEqual([
      ["ws", "c", 1],
      ["ws", "c", "ended"],
    ]);
  });

  test("when a channel has two modes, then they are two subscriptions", () => {
    const { table, told } = makeTable();
    table.set("ws", "c", 1, 0);
    table.set("stream", "c", 1, 0);
    table.set("ws", "c", 0, 0);
    expect(told.length).toBe(3);
  });
});
