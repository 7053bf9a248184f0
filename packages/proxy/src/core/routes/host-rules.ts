import type { Route } from "./route-table.ts";

/** Up to so many rules a walk over all of them is faster than the index. */
const WALKED_MAX = 8;

interface Numbered {
  readonly route: Route;
  /** Place among the rules of the host. */
  readonly place: number;
}

/** The rules of one host, in the order of the file. */
export class HostRules {
  readonly all: Route[] = [];
  readonly #conditions = new Set<string>();
  /** By path prefix; only where there are many. */
  readonly #byPath = new Map<string, Numbered[]>();
  /** Lengths of the prefixes there are, in no order. */
  #lengths: number[] = [];

  /** False: another rule has the same condition. */
  add(route: Route): boolean {
    const condition = `${route.proto ?? "*"} ${route.ssl ?? "*"} ${route.pathBegin}`;
    if (this.#conditions.has(condition)) return false;
    this.#conditions.add(condition);
    const numbered = { route, place: this.all.length };
    this.all.push(route);
    const others = this.#byPath.get(route.pathBegin);
    if (others !== undefined) others.push(numbered);
    else {
      this.#byPath.set(route.pathBegin, [numbered]);
      const { length } = route.pathBegin;
      if (!this.#lengths.includes(length)) this.#lengths = [...this.#lengths, length];
    }
    return true;
  }

  find(proto: "http" | "ws", secure: boolean, path: string): Route | undefined {
    if (this.all.length > WALKED_MAX) return this.#lookUp(proto, secure, path);
    let best: Route | undefined;
    for (const rule of this.all) {
      if (!applies(rule, proto, secure) || !path.startsWith(rule.pathBegin)) continue;
      if (best === undefined || isBetter(rule, best)) best = rule;
    }
    return best;
  }

  /** The same, but looks only at rules whose path fits. */
  #lookUp(proto: "http" | "ws", secure: boolean, path: string): Route | undefined {
    let first: Numbered | undefined;
    let more: Numbered[] | undefined;
    for (const length of this.#lengths) {
      if (length > path.length) continue;
      const rules = this.#byPath.get(length === path.length ? path : path.slice(0, length));
      if (rules === undefined) continue;
      for (const one of rules) {
        if (!applies(one.route, proto, secure)) continue;
        if (first === undefined) first = one;
        else if (more === undefined) more = [first, one];
        else more.push(one);
      }
    }
    if (more === undefined) return first?.route;
    // Better is not transitive: the order of the file decides, as if all had been walked over.
    more.sort((a, b) => a.place - b.place);
    let best = (more[0] as Numbered).route;
    for (const { route } of more) if (isBetter(route, best)) best = route;
    return best;
  }
}

function applies(rule: Route, proto: "http" | "ws", secure: boolean): boolean {
  return (
    (rule.proto === undefined || rule.proto === proto) &&
    (rule.ssl === undefined || rule.ssl === secure)
  );
}

function isBetter(rule: Route, best: Route): boolean {
  if ((rule.proto === undefined) !== (best.proto === undefined)) return best.proto === undefined;
  if (rule.pathBegin.length > best.pathBegin.length) return true;
  return best.ssl === undefined && rule.ssl !== undefined;
}
