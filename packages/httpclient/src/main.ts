import { endpoints, proxySettings } from "@pushpin/config";
import { type DaemonContext, type DaemonHandle, runDaemon } from "@pushpin/daemon";
import { ResponderSockets } from "@pushpin/zhttp/sockets";
import { internalNetworks } from "./shell/address-policy.ts";
import { Engine } from "./shell/engine.ts";

await runDaemon({ name: "httpclient", start });

async function start({ config, log, clock, instanceId }: DaemonContext): Promise<DaemonHandle> {
  const addresses = endpoints(config);
  const ipcFileMode = config.read(proxySettings).ipc_file_mode;
  const engine = new Engine(instanceId, internalNetworks(), clock, log, () => sockets);
  const sockets = await ResponderSockets.open({
    instanceId,
    pull: { specs: addresses.clientOut, mode: "bind" },
    stream: { specs: addresses.clientOutStream, mode: "bind" },
    pub: { specs: addresses.clientIn, mode: "bind" },
    ...(ipcFileMode === undefined ? {} : { ipcFileMode }),
    log,
    onFirst: (packet) => engine.first(packet),
    onPacket: (packet) => engine.packet(packet),
  });
  return {
    async stop() {
      await engine.stop();
      await sockets.close();
    },
  };
}
