import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HostRules } from "./host-rules.ts";
import { type Route, RouteTable } from "./route-table.ts";

const rule = fc.record({
  proto: fc.constantFrom("", ",proto=http", ",proto=ws"),
  ssl: fc.constantFrom("", ",ssl=yes", ",ssl=no"),
  path: fc.constantFrom("", "/", "/a", "/ab", "/abc", "/b", "/a/b", "/a/b/c"),
});

describe("given many rules of one host", () => {
  test("when a request is looked up, then it finds what a walk in the order of the file finds", () => {
    fc.assert(
      fc.property(
        fc.array(rule, { minLength: 9, maxLength: 60 }),
        fc.constantFrom("/", "/a", "/abcd", "/a/b/c/d", "/b?", "/c"),
        fc.boolean(),
        fc.constantFrom("http" as const, "ws" as const),
        (rules, path, secure, proto) => {
          const lines = rules.map(
            (one) => `h${one.proto}${one.ssl}${one.path === "" ? "" : `,path_beg=${one.path}`} test`,
          );
          const routes = [...RouteTable.parse(lines, () => {}).all()];
          expect(indexed(routes).find(proto, secure, path)).toBe(walked(routes, proto, secure, path));
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("when two have the same condition, then the second is refused", () => {
    const [one] = RouteTable.parse(["h,path_beg=/x test"], () => {}).all();
    const rules = new HostRules();
    expect([rules.add(one as Route), rules.add(one as Route)]).toEqual([true, false]);
  });
});

/** With so many others that the index is used. */
function indexed(routes: readonly Route[]): HostRules {
  const rules = new HostRules();
  for (const one of routes) rules.add(one);
  const [some] = routes;
  for (let i = 0; i < 10; i += 1)
    rules.add({ ...(some as Route), pathBegin: `/never/asked/for/${i}` });
  return rules;
}

/** The rule as proxy.md 2.6 tells it. */
function walked(
  routes: readonly Route[],
  proto: "http" | "ws",
  secure: boolean,
  path: string,
): Route | undefined {
  let best: Route | undefined;
  for (const one of routes) {
    if (one.proto !== undefined && one.proto !== proto) continue;
    if (one.ssl !== undefined && one.ssl !== secure) continue;
    if (!path.startsWith(one.pathBegin)) continue;
    const isBetter =
      best === undefined ||
      ((one.proto === undefined) !== (best.proto === undefined)
        ? best.proto === undefined
        : one.pathBegin.length > best.pathBegin.length ||
          (best.ssl === undefined && one.ssl !== undefined));
    if (isBetter) best = one;
  }
  return best;
}
