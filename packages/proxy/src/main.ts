import { resolve } from "node:path";
import {
  endpoints,
  globalSettings,
  handlerSettings,
  proxySettings,
  requireEndpoints,
  retryOfWorkers,
  runnerSettings,
  workersOf,
} from "@pushpin/config";
import { type DaemonContext, type DaemonHandle, runDaemon, untilQuiet } from "@pushpin/daemon";
import { StatsRecorder } from "@pushpin/stats";
import { StatsPublisher } from "@pushpin/stats/sockets";
import { RouteTable } from "./core/routes/route-table.ts";
import { Engine } from "./shell/engine.ts";
import { KeyStore } from "./shell/key-store.ts";
import { ProxySockets } from "./shell/proxy-sockets.ts";
import { RoutesFile } from "./shell/routes-file.ts";

await runDaemon({ name: "proxy", start });

async function start(context: DaemonContext): Promise<DaemonHandle> {
  const { config, log, clock, instanceId } = context;
  const settings = config.read(proxySettings);
  const { services } = config.read(runnerSettings);
  const keys = new KeyStore(config.directory, log);
  const addresses = requireEndpoints(endpoints(config), "clients", "backends");
  const siblings = retryOfWorkers(config);
  const { stats_connection_ttl, stats_connection_send, batch_frames, takeover } =
    config.read(globalSettings);
  const mode = settings.ipc_file_mode === undefined ? {} : { ipcFileMode: settings.ipc_file_mode };
  const publisher =
    addresses.proxyStats.length === 0
      ? undefined
      : await StatsPublisher.open({
          specs: addresses.proxyStats,
          format: "tnetstring",
          ...mode,
          log,
        });
  const stats = new StatsRecorder({
    instanceId,
    connectionTtlMs: stats_connection_ttl * 1000,
    sendConnections: stats_connection_send,
    subscriptionTtlMs: stats_connection_ttl * 1000,
    reportIntervalMs: settings.stats_report_interval * 1000,
    nowMs: clock.nowMs(),
    isWanted: (topic) => publisher?.isWanted(topic) ?? false,
    publish: (topic, fields) => publisher?.publish(topic, fields),
  });
  const engine = new Engine({
    instanceId,
    settings,
    openRequestsMax:
      settings.max_open_requests < 0
        ? Infinity
        : Math.ceil(settings.max_open_requests / workersOf(config, "proxy")),
    shareAll: config.read(handlerSettings).share_all,
    decodesContent: services.includes("zurl"),
    isSucceeded: takeover,
    keys,
    clock,
    log,
    stats,
    sockets: () => sockets as ProxySockets,
    ...(siblings.length === 0
      ? {}
      : { worker: { slot: context.arguments.slot, count: siblings.length } }),
  });
  engine.routes = RouteTable.parse([], () => {});
  let sockets: ProxySockets | undefined;
  const { routes } = context.arguments;
  const file = new RoutesFile(resolve(config.directory, settings.routesfile), log, (table) => {
    engine.routes = table;
    void sockets?.zhttpTargets.follow(table);
  });
  if (routes.length > 0) engine.routes = RoutesFile.fromLines(routes, log);
  else {
    file.load();
    file.watch();
  }
  sockets = await ProxySockets.open({
    instanceId,
    endpoints: addresses,
    settings,
    siblings,
    batchFrames: batch_frames,
    log,
    engine,
  });
  await sockets.zhttpTargets.follow(engine.routes);
  sockets.start();
  sockets.announce();
  // A handler that starts now is told of nobody's WebSockets before ours are known.
  await sockets.gathered();
  engine.gathered();
  return {
    reload: (fresh) => {
      keys.forget();
      if (fresh !== undefined)
        engine.reload(fresh.read(proxySettings), fresh.read(handlerSettings).share_all);
      if (routes.length === 0) file.load();
    },
    async leave() {
      engine.leave();
      await sockets?.clients.leave();
      await untilQuiet(() => engine.isQuiet);
      await Promise.all([sockets?.close(), publisher?.close()]);
    },
    async stop() {
      file.close();
      await engine.stop();
      await Promise.all([sockets?.close(), publisher?.close()]);
    },
  };
}
