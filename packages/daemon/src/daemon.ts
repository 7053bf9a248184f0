import { readFileSync } from "node:fs";
import { type Clock, systemClock } from "@pushpin/clock";
import {
  type Config,
  ConfigError,
  inheritedListeners,
  levelOf,
  type LoadOptions,
  loadConfig,
  notifyServiceManager,
  parseLogLevels,
  type Role,
  ROLE_NAMES,
  runnerSettings,
  watchdogIntervalMs,
} from "@pushpin/config";
import { type LogFile, type LogLevel, openLog, renderTimestamp } from "@pushpin/log";
import { parseArguments } from "./arguments.ts";
import type { DaemonArguments } from "./daemon-arguments.ts";
import { keepTellingStarter, tellStarter } from "./starter.ts";
import { collectSparingly, optimiseEarly } from "./v8-settings.ts";

/** A process that takes longer than this to stop ends anyway. */
export const STOP_TIMEOUT_MS = 4000;

/** Limit: time a process that is replaced gives what only it can finish; then that fails. Unit: ms. */
export const LEAVE_MAX_MS = 10_000;
/** What is on its way to us when we say that we leave has arrived after this. */
const LEAVE_QUIET_MS = 200;

/** Waits until nothing is under way any more, as far as that takes a bounded time. */
export async function untilQuiet(isQuiet: () => boolean): Promise<void> {
  const startMs = performance.now();
  for (;;) {
    const passedMs = performance.now() - startMs;
    if (passedMs > LEAVE_MAX_MS || (passedMs > LEAVE_QUIET_MS && isQuiet())) return; // Limit: LEAVE_MAX_MS
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export interface DaemonContext {
  readonly config: Config;
  readonly log: LogFile;
  readonly clock: Clock;
  readonly arguments: DaemonArguments;
  /** `<role>-<slot>-<incarnation>`: new at every start, so that nobody takes us for our predecessor. */
  readonly instanceId: string;
  readonly listeners: ReadonlyMap<string, number>;
}

export interface DaemonHandle {
  /** How long `stop` may take, where that is longer than for others. */
  readonly stopTimeoutMs?: number;
  /**
   * A successor takes our place at once: finishes what nobody else could, and leaves the rest as it
   * is. Absent: as `stop`.
   */
  leave?(): Promise<void>;
  /** Ends everything orderly. */
  stop(): Promise<void> | void;
  /** SIGHUP, after the log was reopened; with the configuration as it is now, if it can be used. */
  reload?(fresh: Config | undefined): void;
}

export interface DaemonOptions {
  /** Role: `connmgr`, `httpclient`, `proxy`, `handler`. */
  readonly name: string;
  readonly start: (context: DaemonContext) => Promise<DaemonHandle>;
}

/**
 * The frame of every process: arguments, configuration, log, signals, readiness, orderly stop.
 * A start that fails leaves one line that says why and exit code 1.
 */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  collectSparingly();
  const parsed = await parseArguments(options.name, packageVersion(), process.argv.slice(2));
  if (parsed.kind === "exit") {
    (parsed.code === 0 ? process.stdout : process.stderr).write(`${parsed.text}\n`);
    process.exitCode = parsed.code;
    return;
  }
  const opened = open(options.name, parsed.arguments);
  if (opened === undefined) return;
  const context = { ...opened };
  const { log } = context;
  keepTellingStarter();
  process.on("uncaughtException", (error) => {
    log.error("uncaught exception, the process ends", { error });
    tellStarter(`FAILED uncaught exception: ${error instanceof Error ? error.message : String(error)}`);
    log.close();
    process.exit(1);
  });
  let handle: DaemonHandle;
  try {
    handle = await options.start(context);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.error(reason);
    tellStarter(`FAILED ${reason}`);
    if (log.isDebug && error instanceof Error) log.debug("failed to start", { stack: error.stack });
    log.close();
    process.exit(1);
  }
  let stopping = false;
  const end = (text: string, how: () => Promise<void> | void, timeoutMs: number) => {
    stopping = true;
    log.info(text);
    notifyServiceManager(["STOPPING=1"]);
    const finish = () => {
      log.close();
      process.exit(0);
    };
    setTimeout(finish, timeoutMs);
    Promise.resolve(how()).then(finish, (error: unknown) => {
      log.error("failed to stop orderly", { error });
      finish();
    });
  };
  const stop = () => {
    if (stopping) process.exit(1);
    const timeoutMs = Math.max(STOP_TIMEOUT_MS, handle.stopTimeoutMs ?? 0);
    end("stopping...", () => handle.stop(), timeoutMs);
  };
  process.on("SIGUSR2", () => {
    if (stopping) return;
    const { leave } = handle;
    if (leave === undefined) stop();
    else end("leaving to a successor", leave, LEAVE_MAX_MS + STOP_TIMEOUT_MS);
  });
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  process.on("SIGHUP", () => {
    if (stopping) return;
    log.info("reloading");
    log.reopen();
    const fresh = readAgain(options.name, parsed.arguments, log);
    if (fresh !== undefined) followLevel(options.name, context.config, fresh, log);
    handle.reload?.(fresh);
    if (fresh !== undefined) context.config = fresh;
  });
  optimiseEarly();
  log.info("started");
  tellStarter("READY");
  notifyServiceManager(["READY=1"]);
  log.flush();
  const watchdogMs = watchdogIntervalMs();
  if (watchdogMs !== undefined)
    setInterval(() => notifyServiceManager(["WATCHDOG=1"]), watchdogMs).unref();
}

function loadOptionsOf(name: string, args: DaemonArguments): LoadOptions {
  return {
    file: args.config,
    ...(args.ipcPrefix === undefined ? {} : { ipcPrefix: args.ipcPrefix }),
    ...(args.portOffset === undefined ? {} : { portOffset: args.portOffset }),
    environment: process.env,
    worker: { role: name, slot: args.slot },
  };
}

/** What cannot be used is named, and changes nothing. */
function readAgain(name: string, args: DaemonArguments, log: LogFile): Config | undefined {
  try {
    const fresh = loadConfig(loadOptionsOf(name, args));
    fresh.check();
    return fresh;
  } catch (error) {
    log.error(`configuration not usable: ${(error as Error).message}`);
    return undefined;
  }
}

/** The level follows the file, unless a command line has set another one. */
function followLevel(name: string, old: Config, fresh: Config, log: LogFile): void {
  if (!Object.hasOwn(ROLE_NAMES, name)) return;
  const names = ROLE_NAMES[name as Role];
  const levelIn = (config: Config) =>
    levelOf(parseLogLevels(config.read(runnerSettings).log_level), names) as LogLevel;
  if (log.level === levelIn(old)) log.level = levelIn(fresh);
}

function open(name: string, args: DaemonArguments): DaemonContext | undefined {
  try {
    const log = openLog({
      level: args.loglevel as LogLevel,
      json: args.logJson,
      name,
      ...(args.logfile === undefined ? {} : { file: args.logfile }),
    });
    try {
      const config = loadConfig(loadOptionsOf(name, args));
      config.check();
      const incarnation = (Date.now() % 2 ** 40).toString(36) + (process.pid % 1296).toString(36);
      const instanceId = `${name}-${args.slot}-${incarnation}`;
      return {
        config,
        log,
        clock: systemClock,
        arguments: args,
        instanceId,
        listeners: inheritedListeners(),
      };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      log.error(error.message);
      tellStarter(`FAILED ${error.message}`);
      log.close();
    }
  } catch (error) {
    // There is no log to write to.
    const { message } = error as Error;
    process.stdout.write(`[ERR] ${renderTimestamp(Date.now())} ${message}\n`);
    tellStarter(`FAILED ${message}`);
  }
  process.exitCode = 1;
  return undefined;
}

export function packageVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
