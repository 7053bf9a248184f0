import { resolve } from "node:path";
import { endpoints, globalSettings, proxySettings, runnerSettings } from "@pushpin/config";
import { type DaemonContext, type DaemonHandle, runDaemon } from "@pushpin/daemon";
import { InitiatorSockets, ResponderSockets } from "@pushpin/zhttp/sockets";
import { ZmqSocket } from "@pushpin/zmq";
import { RpcClient } from "@pushpin/zrpc/sockets";
import { RouteTable } from "./core/routes/route-table.ts";
import { Engine } from "./shell/engine.ts";
import { RoutesFile } from "./shell/routes-file.ts";

/** The handler has this long to answer an accept. */
const ACCEPT_TIMEOUT_MS = 8000;

await runDaemon({ name: "proxy", start });

async function start(context: DaemonContext): Promise<DaemonHandle> {
  const { config, log, clock, instanceId } = context;
  const settings = config.read(proxySettings);
  const addresses = endpoints(config);
  const mode = settings.ipc_file_mode === undefined ? {} : { ipcFileMode: settings.ipc_file_mode };
  const ownClient = config.read(runnerSettings).services.includes("httpclient");
  const engine = new Engine({
    instanceId,
    settings,
    configDirectory: config.directory,
    clock,
    log,
    clients: () => clients,
    backends: () => backends,
    acceptCalls: () => acceptCalls,
  });
  engine.routes = RouteTable.parse([], () => {});
  const { routes } = context.arguments;
  const file = new RoutesFile(resolve(config.directory, settings.routesfile), log, (table) => {
    engine.routes = table;
  });
  if (routes.length > 0) engine.routes = RoutesFile.fromLines(routes, log);
  else {
    file.load();
    file.watch();
  }
  const acceptCalls = await RpcClient.open({
    addr: { specs: addresses.accept, mode: "bind" },
    timeoutMs: ACCEPT_TIMEOUT_MS,
    ...mode,
    log,
  });
  const retries = await ZmqSocket.open({
    type: "router",
    specs: addresses.retry,
    mode: "bind",
    identity: instanceId,
    ...mode,
    log,
    onMessage: (frames) => engine.retry(frames[frames.length - 1] as Buffer),
  });
  const backends = await InitiatorSockets.open({
    instanceId,
    push: { specs: addresses.clientOut, mode: "connect" },
    stream: { specs: addresses.clientOutStream, mode: "connect" },
    sub: { specs: addresses.clientIn, mode: "connect" },
    batchFirst: ownClient && config.read(globalSettings).batch_frames,
    log,
    onPacket: (packet) => engine.packet(packet),
  });
  const clients = await ResponderSockets.open({
    instanceId,
    pull: { specs: addresses.connmgrIn, mode: "connect" },
    stream: { specs: addresses.connmgrInStream, mode: "connect" },
    pub: { specs: addresses.connmgrOut, mode: "connect" },
    log,
    onFirst: (packet) => engine.first(packet),
    onPacket: (packet) => engine.packet(packet),
  });
  return {
    reload: () => {
      if (routes.length === 0) file.load();
    },
    async stop() {
      file.close();
      engine.stop();
      await Promise.all([clients.close(), backends.close(), retries.close(), acceptCalls.close()]);
    },
  };
}
