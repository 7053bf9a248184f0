import { detach } from "@pushpin/tnetstrings";

interface Count {
  connections: number;
  expiresMs: number;
}

/** Limit: proxies counted one by one for a route; more of them are not counted. */
export const COUNTED_PROXIES_MAX = 256;
/** Limit: routes with connections at proxies; those of more routes are not counted. */
export const PROXY_ROUTES_MAX = 10_000;

/**
 * How many connections each proxy says it has, by route. What a proxy said holds until it says
 * something else or has been silent for too long.
 */
export class ProxyConnections {
  readonly #routes = new Map<string, Map<string, Count>>();

  /** `from`: the proxy's instance id. */
  set(from: string, route: string, connections: number, expiresMs: number): void {
    let proxies = this.#routes.get(route);
    if (connections === 0) {
      proxies?.delete(from);
      if (proxies?.size === 0) this.#routes.delete(route);
      return;
    }
    if (proxies === undefined) {
      if (this.#routes.size >= PROXY_ROUTES_MAX) return; // Limit: PROXY_ROUTES_MAX
      proxies = new Map();
      this.#routes.set(detach(route), proxies);
    }
    // Limit: COUNTED_PROXIES_MAX
    if (!proxies.has(from) && proxies.size >= COUNTED_PROXIES_MAX) return;
    proxies.set(detach(from), { connections, expiresMs });
  }

  of(route: string): number {
    let sum = 0;
    for (const { connections } of this.#routes.get(route)?.values() ?? []) sum += connections;
    return sum;
  }

  get total(): number {
    let sum = 0;
    for (const route of this.#routes.keys()) sum += this.of(route);
    return sum;
  }

  expire(nowMs: number): void {
    for (const [route, proxies] of this.#routes) {
      for (const [from, { expiresMs }] of proxies) if (nowMs >= expiresMs) proxies.delete(from);
      if (proxies.size === 0) this.#routes.delete(route);
    }
  }
}
