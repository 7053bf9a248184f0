import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AgeLine, type InLine } from "./age-line.ts";

interface One extends InLine<One> {
  readonly name: number;
}

function namesIn(line: AgeLine<One>): number[] {
  const names: number[] = [];
  for (let one = line.first; one !== undefined; one = one.newer) names.push(one.name);
  return names;
}

describe("given a line by age", () => {
  test("when some come and some go, then it is in the order of their coming", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 9 })), (names) => {
        const all = Array.from(
          { length: 10 },
          (_, name): One => ({ name, older: undefined, newer: undefined, isInLine: false }),
        );
        const line = new AgeLine<One>();
        const model = new Set<number>();
        for (const name of names) {
          const one = all[name] as One;
          expect(line.remove(one)).toBe(model.has(name));
          if (model.delete(name)) continue;
          line.add(one);
          line.add(one);
          model.add(name);
        }
        expect(namesIn(line)).toEqual([...model]);
      }),
    );
  });
});
