import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteStringMap } from "./index.ts";

describe("given a map of byte strings", () => {
  test("when entries come and go in any order, then it holds what a Map would hold", () => {
    const key = fc.integer({ min: 0, max: 200 }).map((n) => `proxy-0-1:${n.toString(36)}`);
    const step = fc.record({ add: fc.boolean(), key, value: fc.integer() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
        const map = new ByteStringMap<number>();
        const model = new Map<string, number>();
        for (const { add, key: name, value } of steps) {
          if (add) {
            map.set(name, value);
            model.set(name, value);
          } else expect(map.delete(name)).toBe(model.delete(name));
          expect(map.size).toBe(model.size);
        }
        for (const { key: name } of steps) {
          expect(map.get(name)).toBe(model.get(name));
          expect(map.has(name)).toBe(model.has(name));
        }
        expect(map.values().sort()).toEqual([...model.values()].sort());
      }),
    );
  });

  test("when it is emptied, then it can be filled again", () => {
    const map = new ByteStringMap<number>();
    for (let i = 0; i < 1000; i += 1) map.set(String(i), i);
    map.clear();
    expect(map.size).toBe(0);
    expect(map.values()).toEqual([]);
    map.set("7", 7);
    expect(map.get("7")).toBe(7);
  });

  test("when an entry is deleted during a walk over the values, then the walk goes on", () => {
    const map = new ByteStringMap<string>();
    for (const name of ["a", "b", "c"]) map.set(name, name);
    for (const name of map.values()) map.delete(name);
    expect(map.size).toBe(0);
  });
});
