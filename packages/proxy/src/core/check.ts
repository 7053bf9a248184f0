import type { Route, RouteTable } from "./routes/route-table.ts";

/** What a change of the routes means. */
export interface RouteChanges {
  readonly added: readonly Route[];
  readonly removed: readonly Route[];
  readonly changed: readonly Route[];
}

/** Compares two tables; a route is the same one if it has the same condition. */
export function compareRoutes(before: RouteTable, after: RouteTable): RouteChanges {
  const old = new Map([...before.all()].map((route) => [conditionOf(route), route]));
  const added: Route[] = [];
  const changed: Route[] = [];
  for (const route of after.all()) {
    const known = old.get(conditionOf(route));
    old.delete(conditionOf(route));
    if (known === undefined) added.push(route);
    else if (textOf(known) !== textOf(route)) changed.push(route);
  }
  return { added, removed: [...old.values()], changed };
}

function conditionOf({ domain, proto, ssl, pathBegin, id }: Route): string {
  return [domain === "" ? `id ${id}` : domain, proto, ssl, pathBegin].join("\n");
}

/** Everything of a route but where it stands. */
function textOf(route: Route): string {
  return JSON.stringify({ ...route, line: 0 });
}

const SUGGESTIONS: readonly (readonly [RegExp, string])[] = [
  [/must specify condition and at least one target/, "write: HOST TARGET, divided by a blank, not by a tab"],
  [/target bad format/, "write: HOST:PORT, unix:/PATH, test, zhttp/SPEC or zhttpreq/SPEC"],
  [/target invalid port/, "a port is a number from 1 to 65535"],
  [/duplicate condition/, "the first line counts; remove this one or make its condition differ"],
  [/header must use format/, 'write: header="Name: value"'],
  [/quoted section|escape/, 'close the quotation mark; inside, write \\" and \\\\'],
  [/expecting prop|empty prop name/, "remove the comma too many, or write name=value behind it"],
];

/** What could be done about a problem of a routes line. */
export function suggestionFor(problem: string): string | undefined {
  return SUGGESTIONS.find(([pattern]) => pattern.test(problem))?.[1];
}
