import { endpoints, handlerSettings } from "@pushpin/config";
import { type DaemonContext, type DaemonHandle, runDaemon } from "@pushpin/daemon";
import { decodePublishMessage, type PublishItem } from "@pushpin/grip";
import type { Result } from "@pushpin/tnetstrings";
import { ResponderSockets } from "@pushpin/zhttp/sockets";
import { ZmqSocket } from "@pushpin/zmq";
import { RpcServer } from "@pushpin/zrpc/sockets";
import { ControlServer } from "./shell/control-server.ts";
import { Engine } from "./shell/engine.ts";

await runDaemon({ name: "handler", start });

async function start({
  config,
  log,
  clock,
  instanceId,
  listeners,
}: DaemonContext): Promise<DaemonHandle> {
  const settings = config.read(handlerSettings);
  const addresses = endpoints(config);
  const mode = settings.ipc_file_mode === undefined ? {} : { ipcFileMode: settings.ipc_file_mode };
  const engine = new Engine({
    instanceId,
    settings,
    clock,
    log,
    clients: () => clients,
    onSubscribed: (channel, present) =>
      present ? subscriber?.subscribe(channel) : subscriber?.unsubscribe(channel),
  });
  const publish = (item: Result<PublishItem>) => {
    if (item.ok) engine.publish(item.value);
    else log.warn("malformed publish dropped", { error: item.error });
  };
  const clients = await ResponderSockets.open({
    instanceId,
    stream: { specs: addresses.connmgrInStream, mode: "connect" },
    pub: { specs: addresses.connmgrOut, mode: "connect" },
    log,
    onFirst: () => {},
    onPacket: (packet) => engine.packet(packet),
  });
  const accepts = await RpcServer.open({
    addr: { specs: addresses.accept, mode: "connect" },
    log,
    onRequest: (method, args, _from, reply) => {
      if (method === "accept") engine.accept(args, reply);
      else reply({ success: false, condition: "method-not-found" });
    },
  });
  const sockets: (ZmqSocket | undefined)[] = [];
  if (settings.push_in_spec.length > 0)
    sockets.push(
      await ZmqSocket.open({
        type: "pull",
        specs: settings.push_in_spec,
        mode: "bind",
        ...mode,
        log,
        onMessage: (frames) =>
          publish(
            frames.length === 1
              ? decodePublishMessage(frames[0] as Buffer)
              : { ok: false, error: "not a single part" },
          ),
      }),
    );
  const subSpecs = [...settings.push_in_sub_specs, ...settings.push_in_sub_spec];
  const subscriber =
    subSpecs.length === 0
      ? undefined
      : await ZmqSocket.open({
          type: "sub",
          specs: subSpecs,
          mode: settings.push_in_sub_connect ? "connect" : "bind",
          tcpKeepAlive: settings.push_in_sub_connect,
          ...mode,
          log,
          onMessage: ([topic, payload, ...rest]) =>
            publish(
              topic === undefined || payload === undefined || rest.length > 0
                ? { ok: false, error: "not two parts" }
                : decodePublishMessage(payload, topic.toString("latin1")),
            ),
        });
  sockets.push(subscriber);
  const fd = listeners.get("control");
  const port = settings.push_in_http_port;
  const control =
    fd === undefined && port <= 0
      ? undefined
      : await ControlServer.open({
          listen:
            fd === undefined
              ? { host: settings.push_in_http_addr, port: port + config.portOffset }
              : { fd },
          maxHeaderBytes: settings.push_in_http_max_headers_size,
          maxBodyBytes: settings.push_in_http_max_body_size,
          log,
          publish: (item) => engine.publish(item),
        });
  return {
    async stop() {
      control?.close();
      engine.stop();
      await Promise.all([clients.close(), accepts.close(), ...sockets.map((one) => one?.close())]);
    },
  };
}
