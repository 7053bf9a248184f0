import {
  endpoints,
  type HttpclientSettings,
  globalSettings,
  httpclientSettings,
  proxySettings,
  requireEndpoints,
} from "@pushpin/config";
import { type DaemonContext, type DaemonHandle, runDaemon, untilQuiet } from "@pushpin/daemon";
import { ResponderSockets } from "@pushpin/zhttp/sockets";
import { AddressPolicy } from "./shell/address-policy.ts";
import { Engine } from "./shell/engine.ts";

/** Requests on their way get this long when the process is told to stop. */
const GRACE_MS = 2000;

await runDaemon({ name: "httpclient", start });

async function start({ config, log, clock, instanceId }: DaemonContext): Promise<DaemonHandle> {
  const addresses = requireEndpoints(endpoints(config), "backends");
  const settings = config.read(httpclientSettings);
  const ipcFileMode = config.read(proxySettings).ipc_file_mode;
  const engine = new Engine(
    {
      instanceId,
      policy: new AddressPolicy({
        defaultPolicy: settings.default_policy,
        allow: settings.allow,
        deny: settings.deny,
        denyInternal: settings.deny_internal,
      }),
      http2: settings.http2,
      connectTimeoutMs: settings.connect_timeout,
      ...limitsOf(settings),
    },
    clock,
    log,
    () => sockets,
  );
  const sockets = await ResponderSockets.open({
    instanceId,
    pull: { specs: addresses.clientOut, mode: "bind" },
    stream: { specs: addresses.clientOutStream, mode: "bind" },
    pub: { specs: addresses.clientIn, mode: "bind" },
    batchFrames: config.read(globalSettings).batch_frames,
    ...(ipcFileMode === undefined ? {} : { ipcFileMode }),
    log,
    onFirst: (packet) => engine.first(packet),
    onPacket: (packet) => engine.packet(packet),
    onPeer: (proxy, isPresent) => engine.proxySeen(proxy, isPresent),
  });
  sockets.announce();
  return {
    // Not its policy: connections that are open already would escape it.
    reload: (fresh) => {
      if (fresh !== undefined) engine.configure(limitsOf(fresh.read(httpclientSettings)));
    },
    async leave() {
      await sockets.leave();
      await untilQuiet(() => engine.openExchanges().every((one) => one.session.kind === "websocket"));
      await sockets.close();
    },
    async stop() {
      await engine.stop(GRACE_MS);
      await sockets.close();
    },
  };
}

function limitsOf(settings: HttpclientSettings) {
  return { timeoutMs: settings.timeout * 1000, exchangesMax: settings.max_open_requests };
}
