import type { Config } from "./config.ts";
import { connmgrSettings, runnerSettings } from "./settings/global.ts";
import { httpclientSettings } from "./settings/httpclient.ts";
import { proxySettings } from "./settings/proxy.ts";

/** The roles that can be carried out by several processes. */
export type WorkerRole = "connmgr" | "httpclient" | "proxy";

/** How many worker processes a role has. A role's own section wins over `[runner]`. */
export function workersOf(config: Config, role: WorkerRole): number {
  const section = { connmgr: connmgrSettings, httpclient: httpclientSettings, proxy: proxySettings };
  const own = config.read(section[role]).workers;
  return own ?? config.read(runnerSettings).workers ?? 1;
}
