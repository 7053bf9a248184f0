import { expect, test } from "vitest";
import { ownerOf } from "./sibling-handoff.ts";

test("given names of sessions, when they are shared out, then each worker gets about its part, always the same", () => {
  const keys = Array.from({ length: 3000 }, (_, i) => `route\n${i.toString(36)}`);
  for (const count of [1, 2, 3, 8]) {
    const parts = new Array<number>(count).fill(0);
    for (const key of keys) {
      const owner = ownerOf(key, count);
      expect(ownerOf(key, count)).toBe(owner);
      parts[owner] = (parts[owner] ?? 0) + 1;
    }
    for (const part of parts) expect(part).toBeGreaterThan((keys.length / count) * 0.7);
  }
});
