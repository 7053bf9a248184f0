import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Config,
  connmgrSettings,
  endpoints,
  globalSettings,
  groupCopies,
  parseLocalAddress,
  parseTcpAddress,
  proxySettings,
  requireEndpoints,
  runnerSettings,
  type TcpAddress,
  workersOf,
} from "@pushpin/config";
import { type DaemonContext, type DaemonHandle, runDaemon } from "@pushpin/daemon";
import { InitiatorSockets } from "@pushpin/zhttp/sockets";
import type { ConnmgrSettings } from "./core/connmgr-settings.ts";
import { parseOpenFilesLimit, possibleClients } from "./core/open-files.ts";
import { Admission } from "./shell/admission.ts";
import { Certificates } from "./shell/certificates.ts";
import { Engine } from "./shell/engine.ts";
import { Listener, type ListenerOptions } from "./shell/listener.ts";

/** What stopping takes beside waiting for clients. */
const STOP_MS = 2000;
const LIMITS_FILE = "/proc/self/limits";
const LINGER_MS = 2000;
const CLOSE_TIMEOUT_MS = 10_000;
/** Limit: body bytes our own proxy and handler may send ahead of a client. */
const WINDOW_BYTES = 131_072;

await runDaemon({ name: "connmgr", start });

async function start(context: DaemonContext): Promise<DaemonHandle> {
  const { config, log, clock, instanceId } = context;
  const addresses = requireEndpoints(endpoints(config), "clients");
  const ipcFileMode = config.read(proxySettings).ipc_file_mode;
  const engine = new Engine(
    connmgrSettingsOf(context, config),
    clock,
    log,
    () => sockets,
  );
  const { batch_frames } = config.read(globalSettings);
  const sockets = await InitiatorSockets.open({
    instanceId,
    push: { specs: addresses.connmgrIn, mode: "bind" },
    stream: { specs: addresses.connmgrInStream, mode: "bind" },
    sub: { specs: addresses.connmgrOut, mode: "bind" },
    batchFirst: batch_frames,
    batchFrames: batch_frames,
    ...(ipcFileMode === undefined ? {} : { ipcFileMode }),
    log,
    onPacket: (packet) => engine.packet(packet),
    onTakeover: (successor) => engine.takeover(successor),
  });
  const admission = new Admission({
    connectionsMax: clientsMax(context),
    perAddressMax: config.read(runnerSettings).client_maxconn_per_address,
    onRefused: (why) => engine.count(why),
  });
  const listeners = await openListeners(context, engine, admission);
  const drainMs = config.read(connmgrSettings).drain_timeout * 1000;
  return {
    reload(fresh) {
      if (fresh === undefined) return;
      const { bufferSize, windowBytes, ownProxy } = engine.settings; // these need a restart
      engine.settings = {
        ...connmgrSettingsOf(context, fresh),
        bufferSize,
        windowBytes,
        ownProxy,
      };
    },
    stopTimeoutMs: drainMs + STOP_MS,
    async stop() {
      for (const listener of listeners) listener.close();
      admission.close();
      await engine.drain(drainMs);
      await sockets.close();
    },
  };
}

/** What the connections are told of a configuration. */
function connmgrSettingsOf({ instanceId }: DaemonContext, config: Config): ConnmgrSettings {
  const runner = config.read(runnerSettings);
  const ownProxy = runner.services.some((one) => one === "proxy" || one === "pushpin-proxy");
  return {
    instanceId,
    bufferSize: runner.client_buffer_size,
    // The original's window is its buffer: a round trip for every 8 KB.
    windowBytes: ownProxy
      ? Math.max(runner.client_buffer_size, WINDOW_BYTES)
      : runner.client_buffer_size,
    headersMax: runner.client_headers_max,
    pipelineMax: runner.client_pipeline_max,
    writeBufferMaxBytes: runner.client_write_buffer_max,
    headerTimeoutMs: runner.client_header_timeout * 1000,
    bodyTimeoutMs: runner.client_body_timeout * 1000,
    idleTimeoutMs: runner.client_idle_timeout * 1000,
    writeTimeoutMs: runner.client_write_timeout * 1000,
    lingerMs: LINGER_MS,
    closeTimeoutMs: CLOSE_TIMEOUT_MS,
    allowCompression: runner.allow_compression,
    ownProxy,
  };
}

/** This worker's share of `client_maxconn`; less if there are not descriptors for so many. */
function clientsMax({ config, log }: DaemonContext): number {
  const wanted = Math.ceil(
    config.read(runnerSettings).client_maxconn / workersOf(config, "connmgr"),
  );
  const openFiles = existsSync(LIMITS_FILE)
    ? parseOpenFilesLimit(readFileSync(LIMITS_FILE, "utf8"))
    : undefined;
  const possible = possibleClients(wanted, openFiles);
  if (possible < wanted)
    log.warn(
      `client_maxconn is out of reach: the limit of open files (ulimit -n) allows ${possible} clients of ${wanted}`,
    );
  return possible;
}

/** @throws Error that names the entry. */
function tcpAddress(entry: string): TcpAddress {
  const address = parseTcpAddress(entry);
  if (address === undefined) throw new Error(`failed to parse listen: invalid port ${entry}`);
  return address;
}

/** Sockets that were opened for us, or else those of the configuration. */
function openListeners(
  { listeners, config, log }: DaemonContext,
  engine: Engine,
  admission: Admission,
): Promise<Listener[]> {
  const runner = config.read(runnerSettings);
  const wanted: Pick<ListenerOptions, "isSecure" | "where">[] = [];
  for (const { name, fds } of groupCopies(listeners))
    wanted.push({ isSecure: name.startsWith("https"), where: { kind: "fd", fds } });
  if (wanted.length === 0) {
    for (const entry of runner.http_port)
      wanted.push({ isSecure: false, where: tcpAddress(entry) });
    for (const entry of runner.https_ports)
      wanted.push({ isSecure: true, where: tcpAddress(entry) });
    for (const entry of runner.local_ports)
      wanted.push({ isSecure: false, where: parseLocalAddress(entry) });
  }
  if (wanted.length === 0) throw new Error("no server ports configured");
  const shared = {
    hasProxyHeader: runner.client_proxy_protocol,
    engine,
    admission,
    certificates: new Certificates(join(config.directory, "runner", "certs"), log),
    log,
  };
  return Promise.all(wanted.map((one) => Listener.open({ ...one, ...shared })));
}
