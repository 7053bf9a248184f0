import { existsSync, mkdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  type Config,
  connmgrSettings,
  handlerSettings,
  httpclientSettings,
  type LoadOptions,
  type LogLevels,
  type LocalAddress,
  levelOf,
  parseLocalAddress,
  parseLogLevels,
  proxySettings,
  parseTcpAddress,
  runnerSettings,
  type TcpAddress,
  workersOf,
} from "@pushpin/config";
import type { RunnerArguments } from "./runner-arguments.ts";
import {
  adapterConfigOf,
  databaseOf,
  type Mongrel2Listener,
  type Mongrel2Plan,
  outputOf,
} from "./mongrel2.ts";
import { scriptOf, shippedConfigFile } from "./programs.ts";
import { fileNameOf, logNamesOf, parseServices, type Service } from "./services.ts";

/** One process: a service, or one of several that share its work. */
export interface Worker {
  readonly service: Service;
  readonly slot: number;
  /** As shown in log lines: `proxy`, or `proxy-1` where there are several. */
  readonly name: string;
  /** What a Mongrel2 listens to. */
  readonly listener?: Mongrel2Listener;
}

/** Everything that is decided before anything is started. */
export interface Plan {
  readonly services: readonly Service[];
  readonly workers: readonly Worker[];
  /** A process that ended unasked is started again. */
  readonly restart: boolean;
  readonly http: readonly TcpAddress[];
  readonly https: readonly TcpAddress[];
  readonly local: readonly LocalAddress[];
  readonly control: TcpAddress | undefined;
  readonly rundir: string;
  readonly logdir: string;
  readonly levels: LogLevels;
  /** Prefix of pid and log files; empty unless an instance number was given. */
  readonly filePrefix: string;
}

const CANDIDATES = [
  "config/pushpin.conf",
  "pushpin.conf",
  "examples/config/pushpin.conf",
  "/etc/pushpin/pushpin.conf",
  shippedConfigFile(),
];

/** The configuration file to use. @throws Error `no configuration file found. Tried: …`. */
export function findConfigFile(given: string | undefined, exists = isFile): string {
  const tried = given === undefined ? CANDIDATES : [given];
  const found = tried.find((one) => exists(one));
  if (found === undefined)
    throw new Error(`no configuration file found. Tried: ${tried.join(" ")}`);
  return resolve(found);
}

const isFile = (path: string) => existsSync(path) && statSync(path).isFile();

/** @throws Error in the original's words where it has any. */
export function makePlan(config: Config, args: RunnerArguments): Plan {
  const runner = config.read(runnerSettings);
  const handler = config.read(handlerSettings);
  const services = parseServices(runner.services);
  const only = args.port === undefined ? undefined : [args.port];
  const http = addresses("http", only ?? runner.http_port, 0);
  const https = addresses("https", only === undefined ? runner.https_ports : [], 1);
  const local = only === undefined ? localAddresses(runner.local_ports) : [];
  const hasMongrel2 = services.includes("mongrel2");
  if (hasMongrel2 && local.length > 0)
    throw new Error("Cannot use local_ports option with mongrel2");
  if ((services.includes("connmgr") || hasMongrel2) && http.length + https.length + local.length === 0)
    throw new Error("no server ports configured");
  const offset = config.portOffset;
  const control: TcpAddress | undefined =
    services.includes("handler") && handler.push_in_http_port > 0
      ? { kind: "tcp", host: handler.push_in_http_addr || "0.0.0.0", port: handler.push_in_http_port + offset }
      : undefined;
  refuseClashes(http, https, local, control);
  return {
    services,
    workers: services.flatMap((one) =>
      one === "mongrel2" ? mongrel2Workers(http, https) : workersFor(one, config),
    ),
    restart: runner.restart,
    http,
    https,
    local,
    control,
    rundir: config.rundir === "" ? resolve(".") : config.rundir,
    logdir: resolve(runner.logdir),
    levels: args.levels ?? parseLogLevels(runner.log_level),
    filePrefix: args.id === undefined ? "" : `p${args.id}-`,
  };
}

/** @throws Error where two listeners want the same address, which would end the start in the middle. */
function refuseClashes(
  http: readonly TcpAddress[],
  https: readonly TcpAddress[],
  local: readonly LocalAddress[],
  control: TcpAddress | undefined,
): void {
  const keyed = (key: string) => (address: TcpAddress) => ({ key, address });
  const all = [
    ...http.map(keyed("runner/http_port")),
    ...https.map(keyed("runner/https_ports")),
    ...(control === undefined ? [] : [keyed("handler/push_in_http_port")(control)]),
  ];
  for (const [i, { key, address }] of all.entries())
    for (const other of all.slice(0, i))
      if (clash(address, other.address))
        throw new Error(
          key === other.key
            ? `address given twice: port ${address.port} in ${key}`
            : `address given twice: port ${address.port} in ${other.key} and in ${key}`,
        );
  const paths = local.map(({ path }) => resolve(path));
  const twice = paths.find((one, i) => paths.indexOf(one) !== i);
  if (twice !== undefined) throw new Error(`address given twice: ${twice} in runner/local_ports`);
}

/** Two sockets cannot be bound to these at once. */
function clash(one: TcpAddress, other: TcpAddress): boolean {
  if (one.port !== other.port || one.port === 0) return false;
  const isAny = ({ host }: TcpAddress) => /^[0:]+$/.test(host) && host.includes(":");
  if (isAny(one) || isAny(other)) return true; // takes IPv4 too
  const isV6 = (address: TcpAddress) => address.host.includes(":");
  if (isV6(one) !== isV6(other)) return false;
  return one.host === other.host || one.host === "0.0.0.0" || other.host === "0.0.0.0";
}

function workersFor(service: Service, config: Config): Worker[] {
  const hasOne = service === "handler" || service === "m2adapter" || service === "mongrel2";
  const count = hasOne ? 1 : workersOf(config, service);
  return Array.from({ length: count }, (_, slot) => ({
    service,
    slot,
    name: count === 1 ? service : `${service}-${slot}`,
  }));
}

/** A process for each listener: Mongrel2 has one only. */
function mongrel2Workers(
  http: readonly TcpAddress[],
  https: readonly TcpAddress[],
): Worker[] {
  const listeners = [
    ...http.map((one) => ({ ...one, isSecure: false })),
    ...https.map((one) => ({ ...one, isSecure: true })),
  ];
  return listeners.map((listener, slot) => ({
    service: "mongrel2",
    slot,
    name: `m2 ${listener.isSecure ? "https" : "http"}:${listener.port}`,
    listener,
  }));
}

/** What the files of Mongrel2 and its adapter follow from. */
export function mongrel2Plan(plan: Plan, config: Config, args: RunnerArguments): Mongrel2Plan {
  const runner = config.read(runnerSettings);
  return {
    listeners: plan.workers.flatMap(({ listener }) => (listener === undefined ? [] : [listener])),
    rundir: plan.rundir,
    logdir: args.mergeOutput ? undefined : plan.logdir,
    ipcPrefix: config.ipcPrefix,
    filePrefix: plan.filePrefix,
    certdir: join(config.directory, "runner", "certs"),
    bufferBytes: runner.client_buffer_size,
    connectionsMax: runner.client_maxconn,
    level: levelOf(plan.levels, ["mongrel2"]),
  };
}

/** Name of a worker's pid and log files; that of the first is the service's. */
export function fileNameOfWorker(worker: Worker, { filePrefix }: Plan): string {
  const { service, slot, listener } = worker;
  if (listener !== undefined) return `${filePrefix}${service}_${listener.port}`;
  return `${filePrefix}${fileNameOf(service)}${slot === 0 ? "" : `-${slot}`}`;
}

/** Says which process a restart is asked of. */
export function runnerPidFile({ rundir, filePrefix }: Pick<Plan, "rundir" | "filePrefix">): string {
  return join(rundir, `${filePrefix}runner.pid`);
}

/** How the configuration is read with these arguments, now and when it is compared later. */
export function loadOptionsOf(file: string, args: RunnerArguments): LoadOptions {
  return {
    file,
    ...(args.id === undefined ? {} : { ipcPrefix: `p${args.id}-` }),
    ...(args.id === undefined || args.id === 0 ? {} : { portOffset: args.id * 10 }),
    environment: process.env,
  };
}

function addresses(what: string, entries: readonly string[], lowest: number): TcpAddress[] {
  return entries.map((entry) => {
    const address = parseTcpAddress(entry);
    if (address === undefined || address.port < lowest)
      throw new Error(`invalid ${what} port: ${entry}`);
    return address;
  });
}

function localAddresses(entries: readonly string[]): LocalAddress[] {
  return entries.map((entry) => {
    const address = parseLocalAddress(entry);
    if (address.path === "") throw new Error(`invalid local port: ${entry}`);
    return address;
  });
}

/** Creates a directory and its parents. @throws Error `failed to create directory: …`. */
export function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch {
    throw new Error(`failed to create directory: ${path}`);
  }
}

/** The command line of a child. */
export function commandOf(
  worker: Worker,
  plan: Plan,
  config: Config,
  args: RunnerArguments,
): string[] {
  const { service, slot } = worker;
  const level = levelOf(plan.levels, logNamesOf(service));
  if (service === "mongrel2" || service === "m2adapter")
    return foreignCommandOf(worker, plan, config, args, level);
  return [
    process.execPath,
    // A small young generation: idle clients cost old space only, and bodies that pass through are
    // freed soon, although they look small to the collector.
    `--max-semi-space-size=${service === "connmgr" ? 1 : 4}`,
    ...heapOptions(service, config),
    scriptOf(service, `pushpin-${service}`),
    `--config=${config.file}`,
    `--ipc-prefix=${config.ipcPrefix}`,
    ...(config.portOffset > 0 ? [`--port-offset=${config.portOffset}`] : []),
    ...(slot > 0 ? [`--slot=${slot}`] : []),
    `--loglevel=${level}`,
    ...(args.mergeOutput
      ? []
      : [`--logfile=${join(plan.logdir, `${fileNameOfWorker(worker, plan)}.log`)}`]),
    ...(service === "proxy" ? args.routes.map((route) => `--route=${route}`) : []),
  ];
}

function heapOptions(service: keyof typeof HEAP_SECTIONS, config: Config): string[] {
  const mebibytes = config.read(HEAP_SECTIONS[service]).heap_max || config.read(runnerSettings).heap_max;
  return mebibytes === 0 ? [] : [`--max-old-space-size=${mebibytes}`]; // Limit: heap_max
}

const HEAP_SECTIONS = {
  connmgr: connmgrSettings,
  httpclient: httpclientSettings,
  proxy: proxySettings,
  handler: handlerSettings,
};

function foreignCommandOf(
  worker: Worker,
  plan: Plan,
  config: Config,
  args: RunnerArguments,
  level: number,
): string[] {
  const files = mongrel2Plan(plan, config, args);
  const log = join(plan.logdir, `${fileNameOfWorker(worker, plan)}.log`);
  if (worker.listener === undefined)
    return [
      "m2adapter",
      `--config=${adapterConfigOf(files)}`,
      `--loglevel=${level}`,
      ...(args.mergeOutput ? [] : [`--logfile=${log}`]),
    ];
  const { mongrel2_bin: program = "mongrel2" } = config.read(runnerSettings);
  const command = [program, databaseOf(files), `default_${worker.listener.port}`];
  const [script, output] = args.mergeOutput
    ? // It opens /dev/stdout, which cannot be done where that is a socket: as it is here.
      ['rm -f "$0"; mkfifo "$0" && { cat "$0" & exec "$@" > "$0" 2>&1; }', outputOf(files, worker.listener.port)]
    : ['exec "$@" >> "$0" 2>&1', log]; // it knows no option for what it says itself
  return ["/bin/sh", "-c", script, output, ...command];
}
