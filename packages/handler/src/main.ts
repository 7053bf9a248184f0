import { endpoints, handlerSettings } from "@pushpin/config";
import { type DaemonContext, type DaemonHandle, runDaemon } from "@pushpin/daemon";
import { silentStats } from "./core/silent-stats.ts";
import { ControlServer } from "./shell/control-server.ts";
import { Engine } from "./shell/engine.ts";
import { HandlerSockets } from "./shell/handler-sockets.ts";

await runDaemon({ name: "handler", start });

async function start(context: DaemonContext): Promise<DaemonHandle> {
  const { config, log, clock, instanceId, listeners } = context;
  const settings = config.read(handlerSettings);
  const engine = new Engine({
    instanceId,
    settings,
    clock,
    log,
    stats: silentStats,
    sockets: () => sockets,
    onProxyStats: () => {},
  });
  const sockets = await HandlerSockets.open(instanceId, endpoints(config), settings, log, engine);
  // The port last: who can reach it can publish.
  const fd = listeners.get("control");
  const port = settings.push_in_http_port;
  const control =
    fd === undefined && port < 0
      ? undefined
      : await ControlServer.open({
          listen:
            fd === undefined
              ? {
                  host: settings.push_in_http_addr,
                  port: port === 0 ? 0 : port + config.portOffset,
                }
              : { fd },
          limits: {
            headerMaxBytes: settings.push_in_http_max_headers_size,
            bodyMaxBytes: settings.push_in_http_max_body_size,
          },
          target: engine,
          log,
        });
  return {
    async stop() {
      await control?.close();
      engine.stop();
      await sockets.close();
    },
  };
}
