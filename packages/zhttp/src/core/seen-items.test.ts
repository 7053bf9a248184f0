import { describe, expect, test } from "vitest";
import {
  SEEN_ITEMS_KEPT_MS,
  SEEN_ITEMS_MAX,
  SEEN_ITEMS_MAX_BYTES,
  SeenItems,
} from "./seen-items.ts";

describe("given ids of published items", () => {
  test("when a handler has a successor, then that gets those of its predecessors and of nobody else", () => {
    const seen = new SeenItems();
    seen.add("handler-0-a", ["1", "2"], 0);
    seen.add("handler-1-a", ["other"], 0);
    seen.add("handler-0-b", ["3"], 1);
    expect(seen.of("handler-0-c", 2)).toEqual(["1", "2", "3"]);
    expect(seen.of("handler-0-b", 2)).toEqual(["1", "2"]);
    expect(seen.of("handler-0-c", SEEN_ITEMS_KEPT_MS)).toEqual(["3"]);
  });

  test("when there are too many, or they take too much, then the oldest are forgotten", () => {
    const seen = new SeenItems();
    for (let i = 0; i <= SEEN_ITEMS_MAX; i += 1) seen.add("handler-0-a", [`${i}`], 0);
    expect(seen.of("handler-0-b", 0)).toHaveLength(SEEN_ITEMS_MAX);
    expect(seen.of("handler-0-b", 0)[0]).toBe("1");
    seen.add("handler-0-a", ["x".repeat(SEEN_ITEMS_MAX_BYTES)], 0);
    expect(seen.of("handler-0-b", 0)).toHaveLength(1);
  });
});
