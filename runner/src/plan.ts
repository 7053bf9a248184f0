import { existsSync, mkdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  type Config,
  handlerSettings,
  type LoadOptions,
  type LogLevels,
  levelOf,
  parseLogLevels,
  runnerSettings,
  workersOf,
} from "@pushpin/config";
import type { RunnerArguments } from "./arguments.ts";
import {
  type ListenAddress,
  type LocalAddress,
  parseListenAddress,
  parseLocalAddress,
} from "./listen-address.ts";
import { scriptOf, shippedConfigFile } from "./programs.ts";
import { fileNameOf, logNamesOf, parseServices, type Service } from "./services.ts";

/** One process: a service, or one of several that share its work. */
export interface Worker {
  readonly service: Service;
  readonly slot: number;
  /** As shown in log lines: `proxy`, or `proxy-1` where there are several. */
  readonly name: string;
}

/** Everything that is decided before anything is started. */
export interface Plan {
  readonly services: readonly Service[];
  readonly workers: readonly Worker[];
  /** A process that ended unasked is started again. */
  readonly restart: boolean;
  readonly http: readonly ListenAddress[];
  readonly https: readonly ListenAddress[];
  readonly local: readonly LocalAddress[];
  readonly control: ListenAddress | undefined;
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
  if (services.includes("connmgr") && http.length + https.length + local.length === 0)
    throw new Error("no server ports configured");
  const offset = config.portOffset;
  const control =
    services.includes("handler") && handler.push_in_http_port > 0
      ? { host: handler.push_in_http_addr || "0.0.0.0", port: handler.push_in_http_port + offset }
      : undefined;
  return {
    services,
    workers: services.flatMap((one) => workersFor(one, config)),
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

function workersFor(service: Service, config: Config): Worker[] {
  const count = service === "handler" ? 1 : workersOf(config, service);
  return Array.from({ length: count }, (_, slot) => ({
    service,
    slot,
    name: count === 1 ? service : `${service}-${slot}`,
  }));
}

/** Name of a worker's pid and log files; that of the first is the service's. */
export function fileNameOfWorker({ service, slot }: Worker, { filePrefix }: Plan): string {
  return `${filePrefix}${fileNameOf(service)}${slot === 0 ? "" : `-${slot}`}`;
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

function addresses(what: string, entries: readonly string[], lowest: number): ListenAddress[] {
  return entries.map((entry) => {
    const address = parseListenAddress(entry);
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
  return [
    process.execPath,
    // A small young generation: idle clients cost old space only, and bodies that pass through are
    // freed soon, although they look small to the collector.
    `--max-semi-space-size=${service === "connmgr" ? 1 : 4}`,
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
