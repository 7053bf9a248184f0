import {
  endpoints,
  globalSettings,
  groupCopies,
  type HandlerSettings,
  handlerSettings,
  requireEndpoints,
} from "@pushpin/config";
import { type DaemonContext, type DaemonHandle, runDaemon, untilQuiet } from "@pushpin/daemon";
import type { Logger } from "@pushpin/log";
import { StatsRecorder } from "@pushpin/stats";
import { MetricsServer, parseMetricsAddress, StatsPublisher } from "@pushpin/stats/sockets";
import { ControlPort } from "./shell/control-port.ts";
import { Engine } from "./shell/engine.ts";
import { HandlerSockets } from "./shell/handler-sockets.ts";

await runDaemon({ name: "handler", start });

async function start(context: DaemonContext): Promise<DaemonHandle> {
  const { config, log, clock, instanceId, listeners } = context;
  const settings = config.read(handlerSettings);
  const { stats_connection_ttl, stats_connection_send, batch_frames, takeover } =
    config.read(globalSettings);
  const mode = settings.ipc_file_mode === undefined ? {} : { ipcFileMode: settings.ipc_file_mode };
  const publisher =
    settings.stats_spec.length === 0
      ? undefined
      : await StatsPublisher.open({
          specs: settings.stats_spec,
          format: settings.stats_format === "json" ? "json" : "tnetstring",
          ...mode,
          log,
          onWanted: (topic, wanted) => {
            if (topic === "conn") sockets.followProxyConnections(wanted);
          },
        });
  const stats = new StatsRecorder({
    instanceId,
    connectionTtlMs: stats_connection_ttl * 1000,
    sendConnections: stats_connection_send,
    subscriptionTtlMs: settings.stats_subscription_ttl * 1000,
    reportIntervalMs: settings.stats_report_interval * 1000,
    nowMs: clock.nowMs(),
    announceTakenOver: false,
    isWanted: (topic) => publisher?.isWanted(topic) ?? false,
    publish: (topic, fields) => publisher?.publish(topic, fields),
  });
  const sockets = new HandlerSockets(batch_frames);
  const engine = new Engine({
    instanceId,
    settings,
    isSucceeded: takeover,
    clock,
    log,
    stats,
    sockets: () => sockets,
  });
  const addresses = requireEndpoints(endpoints(config), "heldClients");
  await sockets.open(instanceId, addresses, settings, log, engine);
  await engine.open();
  if (publisher?.isWanted("conn")) sockets.followProxyConnections(true);
  const metrics = await openMetrics(settings, stats, log);
  // The port last: who can reach it can publish.
  const [fd, ...copies] = groupCopies(listeners).find(({ name }) => name === "control")?.fds ?? [];
  const port = settings.push_in_http_port;
  const control =
    fd === undefined && port < 0
      ? undefined
      : await ControlPort.open({
          listen:
            fd === undefined
              ? {
                  host: settings.push_in_http_addr,
                  port: port === 0 ? 0 : port + config.portOffset,
                }
              : { fd },
          copies,
          limits: {
            headerMaxBytes: settings.push_in_http_max_headers_size,
            bodyMaxBytes: settings.push_in_http_max_body_size,
          },
          target: engine,
          log,
        });
  return {
    reload(fresh) {
      if (fresh !== undefined) engine.reload(fresh.read(handlerSettings));
    },
    async leave() {
      await control?.leave();
      await untilQuiet(() => engine.isQuiet);
      await Promise.all([sockets.close(), publisher?.close(), metrics?.close()]);
    },
    async stop() {
      await control?.close();
      engine.stop();
      await Promise.all([sockets.close(), publisher?.close(), metrics?.close()]);
    },
  };
}

async function openMetrics(
  settings: HandlerSettings,
  recorder: StatsRecorder,
  log: Logger,
): Promise<MetricsServer | undefined> {
  const { prometheus_port: text, prometheus_prefix: prefix } = settings;
  if (text === undefined || text === "") return undefined;
  const address = parseMetricsAddress(text);
  if (address === undefined) throw new Error(`prometheus_port: not an address: ${text}`);
  return MetricsServer.open({ address, prefix, recorder, log });
}
