import { describe, expect, test } from "vitest";
import { COUNTED_PROXIES_MAX, PROXY_ROUTES_MAX, ProxyConnections } from "./proxy-connections.ts";

describe("given what proxies say of their connections", () => {
  test("when they are many, then only so many are counted", () => {
    const proxies = new ProxyConnections();
    for (let i = 0; i <= COUNTED_PROXIES_MAX; i += 1) proxies.set(`p${i}`, "r", 1, 1000);
    expect(proxies.of("r")).toBe(COUNTED_PROXIES_MAX);
  });

  test("when their routes are many, then only so many are counted", () => {
    const proxies = new ProxyConnections();
    for (let i = 0; i <= PROXY_ROUTES_MAX; i += 1) proxies.set("p", `r${i}`, 1, 1000);
    expect(proxies.total).toBe(PROXY_ROUTES_MAX);
    proxies.expire(1000);
    expect(proxies.total).toBe(0);
  });

  test("when one is silent, then the others stay", () => {
    const proxies = new ProxyConnections();
    proxies.set("p", "", 1, 1000);
    proxies.set("q", "", 2, 2000);
    proxies.expire(1500);
    expect(proxies.of("")).toBe(2);
  });
});
