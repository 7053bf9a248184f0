import { createServer, type ListenOptions, type Server } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { endpoints, globalSettings, proxySettings, runnerSettings, workersOf } from "@pushpin/config";
import { type DaemonContext, type DaemonHandle, runDaemon } from "@pushpin/daemon";
import { InitiatorSockets } from "@pushpin/zhttp/sockets";
import { Certificates } from "./shell/certificates.ts";
import { Engine } from "./shell/engine.ts";

/** In-flight responses get this long when the process is told to stop. */
const DRAIN_MS = 2000;
const BACKLOG = 4096;

/** Body bytes our own proxy and handler may send ahead of a client. */
const WINDOW_BYTES = 131_072;

await runDaemon({ name: "connmgr", start });

async function start(context: DaemonContext): Promise<DaemonHandle> {
  const { config, log, clock, instanceId } = context;
  const runner = config.read(runnerSettings);
  const addresses = endpoints(config);
  const ipcFileMode = config.read(proxySettings).ipc_file_mode;
  const ownProxy = runner.services.some((one) => one === "proxy" || one === "pushpin-proxy");
  const engine = new Engine(
    {
      instanceId,
      bufferSize: runner.client_buffer_size,
      // The original's window is its buffer: a round trip for every 8 KB.
      windowBytes: ownProxy
        ? Math.max(runner.client_buffer_size, WINDOW_BYTES)
        : runner.client_buffer_size,
      headersMax: runner.client_headers_max,
      connectionsMax: Math.ceil(runner.client_maxconn / workersOf(config, "connmgr")),
      perAddressMax: runner.client_maxconn_per_address,
      headerTimeoutMs: runner.client_header_timeout * 1000,
      bodyTimeoutMs: runner.client_body_timeout * 1000,
      idleTimeoutMs: runner.client_idle_timeout * 1000,
      writeTimeoutMs: runner.client_write_timeout * 1000,
      lingerMs: 2000,
      ownProxy,
    },
    clock,
    log,
    () => sockets,
  );
  const sockets = await InitiatorSockets.open({
    instanceId,
    push: { specs: addresses.connmgrIn, mode: "bind" },
    stream: { specs: addresses.connmgrInStream, mode: "bind" },
    sub: { specs: addresses.connmgrOut, mode: "bind" },
    batchFirst: ownProxy && config.read(globalSettings).batch_frames,
    ...(ipcFileMode === undefined ? {} : { ipcFileMode }),
    log,
    onPacket: (packet) => engine.packet(packet),
  });
  const servers = await openServers(context, engine);
  return {
    async stop() {
      for (const server of servers) server.close();
      await engine.drain(DRAIN_MS);
      await sockets.close();
    },
  };
}

async function openServers(
  { listeners, config, log }: DaemonContext,
  engine: Engine,
): Promise<Server[]> {
  const runner = config.read(runnerSettings);
  const certificates = new Certificates(join(config.directory, "runner", "certs"), log);
  const wanted: { secure: boolean; where: ListenOptions & { fd?: number } }[] = [];
  for (const [name, fd] of listeners)
    wanted.push({ secure: name.startsWith("https"), where: { fd } });
  if (wanted.length === 0) {
    for (const entry of runner.http_port) wanted.push({ secure: false, where: addressOf(entry) });
    for (const entry of runner.https_ports) wanted.push({ secure: true, where: addressOf(entry) });
    for (const entry of runner.local_ports)
      wanted.push({ secure: false, where: { path: entry.split("?")[0] as string } });
  }
  return Promise.all(
    wanted.map(({ secure, where }) => listen(secure, where, engine, certificates)),
  );
}

function addressOf(entry: string): ListenOptions {
  const colon = entry.lastIndexOf(":");
  const host = colon < 0 ? "0.0.0.0" : entry.slice(0, colon).replace(/^\[|\]$/g, "");
  return { host: /^[\d.]+$|:/.test(host) ? host : "0.0.0.0", port: Number(entry.slice(colon + 1)) };
}

function listen(
  secure: boolean,
  where: ListenOptions & { fd?: number },
  engine: Engine,
  certificates: Certificates,
): Promise<Server> {
  let fallback = "default";
  const options = { allowHalfOpen: true, noDelay: true, keepAlive: true };
  const server: Server = secure
    ? createTlsServer(
        {
          ...options,
          minVersion: "TLSv1.2",
          ALPNProtocols: ["http/1.1"],
          SNICallback: (name, done) => done(null, certificates.find(name, fallback)),
        },
        (socket) => engine.accept(socket),
      )
    : createServer(options, (socket) => engine.accept(socket));
  server.on("tlsClientError", () => {});
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ ...where, backlog: BACKLOG } as ListenOptions, () => {
      const address = server.address();
      if (typeof address === "object" && address !== null) {
        fallback = `default_${address.port}`;
        const context = secure ? certificates.find(undefined, fallback) : undefined;
        if (context !== undefined)
          (
            server as unknown as { setSecureContext(o: object): void; _sharedCreds?: unknown }
          )._sharedCreds = context;
      }
      resolve(server);
    });
  });
}
