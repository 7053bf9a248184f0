import type { Config } from "./config.ts";
import { ConfigError } from "./config-error.ts";
import { runnerSettings } from "./settings/global.ts";
import { handlerSettings } from "./settings/handler.ts";
import { proxySettings } from "./settings/proxy.ts";
import { type WorkerRole, workersOf } from "./workers.ts";

/** Where the processes meet; every list is what one side binds and the other connects to. */
export interface Endpoints {
  /** Connection manager binds all three. */
  readonly connmgrIn: readonly string[];
  readonly connmgrInStream: readonly string[];
  readonly connmgrOut: readonly string[];
  /** HTTP client binds all three. */
  readonly clientOut: readonly string[];
  readonly clientOutStream: readonly string[];
  readonly clientIn: readonly string[];
  /** Proxy binds all of these. */
  readonly inspect: readonly string[];
  readonly accept: readonly string[];
  readonly retry: readonly string[];
  readonly wsControlInit: readonly string[];
  readonly wsControlStream: readonly string[];
  readonly proxyStats: readonly string[];
  readonly proxyCommand: readonly string[];
  readonly intreqIn: readonly string[];
  readonly intreqInStream: readonly string[];
  readonly intreqOut: readonly string[];
}

/** The internal endpoints of an instance, the aliases of older versions merged (operations.md 3.7). */
export function endpoints(config: Config): Endpoints {
  const all = listed(config);
  const connmgr = perWorker(config, "connmgr");
  const client = perWorker(config, "httpclient");
  const proxy = perWorker(config, "proxy");
  return {
    connmgrIn: connmgr(all.connmgrIn),
    connmgrInStream: connmgr(all.connmgrInStream),
    connmgrOut: connmgr(all.connmgrOut),
    clientOut: client(all.clientOut),
    clientOutStream: client(all.clientOutStream),
    clientIn: client(all.clientIn),
    inspect: proxy(all.inspect),
    accept: proxy(all.accept),
    retry: proxy(all.retry),
    wsControlInit: proxy(all.wsControlInit),
    wsControlStream: proxy(all.wsControlStream),
    proxyStats: proxy(all.proxyStats),
    proxyCommand: proxy(all.proxyCommand),
    intreqIn: proxy(all.intreqIn),
    intreqInStream: proxy(all.intreqInStream),
    intreqOut: proxy(all.intreqOut),
  };
}

/** Where each worker of the proxy takes requests that come back, by slot; none if there is one only. */
export function retryOfWorkers(config: Config): readonly string[] {
  return slots(listed(config).retry, workersOf(config, "proxy"));
}

/**
 * With several workers a single ipc endpoint gets `-<n>` appended: a worker that asks for its own
 * role sees what it binds, everybody else all of them. Lists and tcp endpoints stay as they are, but that each counts once.
 */
function perWorker(
  config: Config,
  role: WorkerRole,
): (specs: readonly string[]) => readonly string[] {
  const count = workersOf(config, role);
  const { worker } = config;
  return (given) => {
    // Each once: a ROUTER that is connected to the same peer twice can be deaf, where the two ends keep different connections.
    const specs = [...new Set(given)];
    const all = slots(specs, count);
    if (all.length === 0) return specs;
    return worker?.role === role ? [all[worker.slot] as string] : all;
  };
}

function slots(specs: readonly string[], count: number): string[] {
  const [only] = specs;
  if (count === 1 || specs.length !== 1 || !only?.startsWith("ipc:")) return [];
  return Array.from({ length: count }, (_, slot) => `${only}-${slot}`);
}

function listed(config: Config): Endpoints {
  const proxy = config.read(proxySettings);
  const handler = config.read(handlerSettings);
  const services = config.read(runnerSettings).services;
  const useZurl = services.includes("zurl") && proxy.zurl_out_specs.length > 0;
  const useM2a =
    services.includes("mongrel2") ||
    proxy.connmgr_in_specs.length + proxy.condure_in_specs.length === 0;
  return {
    connmgrIn: useM2a ? proxy.m2a_in_specs : [...proxy.connmgr_in_specs, ...proxy.condure_in_specs],
    connmgrInStream: useM2a
      ? proxy.m2a_in_stream_specs
      : [...proxy.connmgr_in_stream_specs, ...proxy.condure_in_stream_specs],
    connmgrOut: useM2a
      ? proxy.m2a_out_specs
      : [...proxy.connmgr_out_specs, ...proxy.condure_out_specs],
    clientOut: useZurl
      ? proxy.zurl_out_specs
      : [...proxy.connmgr_client_out_specs, ...proxy.condure_client_out_specs],
    clientOutStream: useZurl
      ? proxy.zurl_out_stream_specs
      : [...proxy.connmgr_client_out_stream_specs, ...proxy.condure_client_out_stream_specs],
    clientIn: useZurl
      ? proxy.zurl_in_specs
      : [...proxy.connmgr_client_in_specs, ...proxy.condure_client_in_specs],
    inspect: first(
      proxy.handler_inspect_spec,
      handler.proxy_inspect_specs,
      handler.proxy_inspect_spec,
    ),
    accept: first(proxy.handler_accept_spec, handler.proxy_accept_specs, handler.proxy_accept_spec),
    retry: first(
      proxy.handler_retry_in_spec,
      handler.proxy_retry_out_specs,
      handler.proxy_retry_out_spec,
    ),
    wsControlInit: first(proxy.handler_ws_control_init_specs, handler.proxy_ws_control_init_specs),
    wsControlStream: first(
      proxy.handler_ws_control_stream_specs,
      handler.proxy_ws_control_stream_specs,
    ),
    proxyStats: first(proxy.stats_spec, handler.proxy_stats_specs, handler.proxy_stats_spec),
    proxyCommand: first(proxy.command_spec, handler.proxy_command_spec),
    intreqIn: first(proxy.intreq_in_specs, handler.proxy_intreq_out_specs),
    intreqInStream: first(proxy.intreq_in_stream_specs, handler.proxy_intreq_out_stream_specs),
    intreqOut: first(proxy.intreq_out_specs, handler.proxy_intreq_in_specs),
  };
}

/** What a process cannot do without, and the keys that say it (operations.md 3.7). */
const NEEDED = {
  clients: {
    keys: "connmgr_in_specs, connmgr_in_stream_specs and connmgr_out_specs",
    names: ["connmgrIn", "connmgrInStream", "connmgrOut"],
  },
  heldClients: {
    keys: "connmgr_in_stream_specs and connmgr_out_specs",
    names: ["connmgrInStream", "connmgrOut"],
  },
  backends: {
    keys: "connmgr_client_out_specs, connmgr_client_out_stream_specs and connmgr_client_in_specs",
    names: ["clientOut", "clientOutStream", "clientIn"],
  },
} as const;

/** @throws ConfigError `must set …` if there is no way to the clients or backends. */
export function requireEndpoints(
  all: Endpoints,
  ...what: readonly (keyof typeof NEEDED)[]
): Endpoints {
  for (const { keys, names } of what.map((one) => NEEDED[one]))
    if (names.some((name) => all[name].length === 0)) throw new ConfigError(`must set ${keys}`);
  return all;
}

function first(...lists: (readonly string[])[]): readonly string[] {
  return lists.find((one) => one.length > 0) ?? [];
}
