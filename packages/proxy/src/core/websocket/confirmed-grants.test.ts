import { describe, expect, test } from "vitest";
import { ConfirmedGrants } from "./confirmed-grants.ts";

describe("given bytes of a backend that were passed on", () => {
  test("when the client's side confirms what it was sent, then the backend gets credits for that and no more", () => {
    const grants = new ConfirmedGrants();
    grants.add(10, 12);
    grants.add(25, 17);
    expect(grants.take(9)).toBe(0);
    expect(grants.take(10)).toBe(12);
    expect(grants.take(30)).toBe(17);
    expect(grants.take(30)).toBe(0);
  });

  test("when nothing of it was for the client, then it waits only for what was sent before", () => {
    const grants = new ConfirmedGrants();
    grants.add(0, 5);
    expect(grants.take(0)).toBe(5);
    grants.add(10, 10);
    grants.add(10, 7);
    expect(grants.take(9)).toBe(0);
    expect(grants.take(10)).toBe(17);
  });

  test("when there are very many steps, then they become fewer, and no byte is forgotten", () => {
    const grants = new ConfirmedGrants();
    for (let i = 1; i <= 1000; i += 1) grants.add(i, 1);
    expect(grants.take(999)).toBeLessThan(999);
    expect(grants.take(1000)).toBeGreaterThan(900);
  });
});
