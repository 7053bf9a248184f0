import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Config,
  connmgrSettings,
  levelOf,
  loadConfig,
  notifyServiceManager,
  parseLogLevels,
  runnerSettings,
  SECTIONS,
  watchdogIntervalMs,
} from "@pushpin/config";
import { type LogFile, type LogLevel, renderTimestamp } from "@pushpin/log";
import type { RunnerArguments } from "./runner-arguments.ts";
import { Child, type ChildOptions, KILL_AFTER_MS } from "./child.ts";
import { ListenerSet } from "./client-listeners.ts";
import { isFront, type Service } from "./services.ts";
import {
  clearMongrel2,
  isAdapterReady,
  isListening,
  loadMongrel2,
  prepareAdapter,
  relabel,
  requireProgram,
} from "./mongrel2.ts";
import {
  commandOf,
  fileNameOfWorker,
  loadOptionsOf,
  mongrel2Plan,
  type Plan,
  runnerPidFile,
  type Worker,
} from "./plan.ts";
import { findLeftBehind, fingerprintOf, isAlive, type LeftBehind } from "./running-child.ts";

/** How often a process that must go before we start is looked at. */
const WATCH_MS = 20;
/** A process of an earlier runner that does not go when told is ended by force after this. */
const REPLACE_AFTER_MS = 4000;

/**
 * Limit: silence of a connection manager, however short `hang_timeout` is; it is replaced. Until then it may come back to its
 * clients; later there is nothing to come back to, since everybody else has given its sessions up. Unit: ms.
 */
export const FRONT_SILENCE_MAX_MS = 60_000;

function silenceMaxMs(service: Service, timeoutS: number): number {
  const own = timeoutS * 1000;
  if (own === 0 || !isFront(service)) return own;
  return Math.max(own, FRONT_SILENCE_MAX_MS); // Limit: FRONT_SILENCE_MAX_MS
}

/** All children of a runner: started together, stopped together, signals passed on. */
export class Supervisor {
  readonly #plan: Plan;
  readonly #arguments: RunnerArguments;
  readonly #log: LogFile;
  readonly #listeners: ListenerSet;
  readonly #children: readonly {
    readonly service: Service;
    readonly child: Child;
    readonly pidFile: string;
    readonly fingerprint: string;
  }[];
  #config: Config;
  #stopping = false;
  #isMongrel2Loaded = false;
  #isReplacing = false;

  constructor(plan: Plan, config: Config, args: RunnerArguments, log: LogFile) {
    this.#plan = plan;
    this.#config = config;
    this.#arguments = args;
    this.#log = log;
    this.#listeners = new ListenerSet(plan);
    this.#children = plan.workers.map((worker) => this.#createChild(worker));
  }

  async start(): Promise<void> {
    process.on("SIGTERM", () => this.#onStopSignal());
    process.on("SIGINT", () => this.#onStopSignal());
    process.on("SIGHUP", () => this.#reload());
    process.on("SIGUSR2", () => void this.#replaceAll());
    writeFileSync(runnerPidFile(this.#plan), `${process.pid}\n`);
    // All before any is started: a number in an old file may be that of one of ours by then.
    const leftBehind = this.#children.map(({ pidFile, fingerprint }) =>
      findLeftBehind(pidFile, fingerprint),
    );
    for (const [i, { child }] of this.#children.entries()) {
      const left = leftBehind[i] as LeftBehind;
      if (left.kind === "same") {
        child.adopt(left.pid);
        child.reload(); // settings may have changed since
        continue;
      }
      if (left.kind === "other") await this.#replace(child.name, left.pid);
      if (this.#stopping) return;
      if (!this.#arguments.mergeOutput) this.#log.info(`starting ${child.name}`);
      child.start();
    }
    this.#log.flush(); // while they start there is time for it
    await Promise.all(this.#children.map(({ child }) => child.ready));
    if (this.#stopping) return;
    this.#log.info("started");
    this.#log.flush();
    notifyServiceManager(["READY=1"]);
    const watchdogMs = watchdogIntervalMs();
    if (watchdogMs !== undefined)
      setInterval(() => notifyServiceManager(["WATCHDOG=1"]), watchdogMs).unref();
  }

  async stop(code: number): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#log.info("stopping...");
    notifyServiceManager(["STOPPING=1"]);
    if (!this.#arguments.mergeOutput)
      for (const { child } of this.#children) this.#log.info(`stopping ${child.name}`);
    const wasFailing = this.#children.some(({ child }) => child.isFailing);
    // Ours only: those of a service manager keep new clients waiting for our successor.
    this.#listeners.close();
    // Clients first: the others answer what is under way until the last of them has gone.
    const results: boolean[] = [];
    for (const isFirst of [true, false])
      results.push(
        ...(await Promise.all(
          this.#children
            .filter(({ service }) => isFront(service) === isFirst)
            .map(({ child }) => child.stop()),
        )),
      );
    this.#log.debug("stopped");
    this.#exit(code === 0 && !wasFailing && results.every(Boolean) ? 0 : 1);
  }

  #createChild(worker: Worker) {
    const plan = this.#plan;
    const config = this.#config;
    const command = commandOf(worker, plan, config, this.#arguments);
    const pidFile = join(plan.rundir, `${fileNameOfWorker(worker, plan)}.pid`);
    const fingerprint = fingerprintOf([
      process.version,
      ...command.filter((one) => !one.startsWith("--loglevel=")),
      JSON.stringify([plan.http, plan.https, plan.local, plan.control]),
      // A process follows live settings by itself: they are no reason not to adopt it.
      JSON.stringify(
        config
          .effective()
          .filter(({ section, key }) => !isLive(`${section}/${key}`))
          .map(({ section, key, items }) => [section, key, items]),
      ),
    ]);
    const { hang_timeout, start_timeout } = config.read(runnerSettings);
    const child = new Child({
      name: worker.name,
      command,
      pidFile,
      fingerprint,
      listeners: () => this.#listeners.of(worker.service),
      restart: plan.restart,
      silenceMaxMs: silenceMaxMs(worker.service, hang_timeout),
      startMaxMs: start_timeout * 1000,
      ...this.#foreign(worker),
      ...(worker.service === "connmgr"
        ? { stopTimeoutMs: KILL_AFTER_MS + config.read(connmgrSettings).drain_timeout * 1000 }
        : {}),
      log: this.#log,
      write: (line) => {
        this.#log.flush(); // so that lines of both stay in order
        process.stdout.write(`${line}\n`);
      },
      onLost: () => void this.stop(1),
    });
    return { service: worker.service, child, pidFile, fingerprint };
  }

  /** What has to be known of processes that are not ours. */
  #foreign({
    service,
    listener,
  }: Worker): Pick<ChildOptions, "prepare" | "isReady" | "relabel" | "mayCrashAtStop"> {
    if (service !== "mongrel2" && service !== "m2adapter") return {};
    const files = mongrel2Plan(this.#plan, this.#config, this.#arguments);
    if (listener === undefined)
      return {
        prepare: () => {
          requireProgram("m2adapter");
          prepareAdapter(files);
        },
        isReady: () => isAdapterReady(files),
      };
    const { m2sh_bin: m2sh = "m2sh", mongrel2_bin: program = "mongrel2" } =
      this.#config.read(runnerSettings);
    return {
      prepare: () => {
        requireProgram(program);
        requireProgram(m2sh);
        clearMongrel2(files, listener.port);
        if (!this.#isMongrel2Loaded) loadMongrel2(files, m2sh);
        this.#isMongrel2Loaded = true;
      },
      isReady: () => isListening(listener),
      mayCrashAtStop: true, // Mongrel2 1.12 does
      relabel: (line) => relabel(line, files.level, renderTimestamp(Date.now())),
    };
  }

  /** A child of an earlier runner with other settings makes room. */
  async #replace(name: string, pid: number): Promise<void> {
    this.#log.info(`stopping ${name} of an earlier runner`, { pid });
    const startedMs = performance.now();
    kill(pid, "SIGTERM");
    while (isAlive(pid)) {
      if (performance.now() - startedMs > REPLACE_AFTER_MS) kill(pid, "SIGKILL");
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
    }
  }

  #onStopSignal(): void {
    if (!this.#stopping) {
      void this.stop(0);
      return;
    }
    for (const { child } of this.#children) child.kill();
    this.#exit(0);
  }

  /**
   * A new process in the place of each, one after the other, while clients stay. Connection managers
   * are not replaced: their clients would go with them.
   */
  async #replaceAll(): Promise<void> {
    if (this.#stopping || this.#isReplacing) return;
    try {
      loadConfig(loadOptionsOf(this.#config.file, this.#arguments)).check();
    } catch (error) {
      // None of them could start with it.
      this.#log.error(`configuration not usable: ${(error as Error).message}`);
      return;
    }
    this.#isReplacing = true;
    this.#log.info("restarting all but the connection managers");
    for (const { child, service } of this.#children) if (!isFront(service)) await child.replace();
    this.#isReplacing = false;
    this.#log.info("restarted");
  }

  #reload(): void {
    this.#log.info("reloading");
    this.#log.reopen();
    for (const { child } of this.#children) child.reload();
    this.#compareConfig();
  }

  /** Names what has changed in the configuration and is not in force before a restart. */
  #compareConfig(): void {
    try {
      const fresh = loadConfig(loadOptionsOf(this.#config.file, this.#arguments));
      fresh.check();
      const old = new Map(
        this.#config.effective().map((one) => [`${one.section}/${one.key}`, one.items.join(",")]),
      );
      const changed = fresh
        .effective()
        .map((one) => [`${one.section}/${one.key}`, one.items.join(",")] as const)
        .filter(([key, value]) => old.get(key) !== value && !isLive(key))
        .map(([key]) => key);
      if (this.#arguments.levels === undefined) {
        const levels = parseLogLevels(fresh.read(runnerSettings).log_level);
        this.#log.level = levelOf(levels, ["runner"]) as LogLevel;
      }
      if (changed.length > 0)
        this.#log.warn(`changed settings need a restart: ${changed.join(", ")}`);
    } catch (error) {
      this.#log.error(`configuration not usable: ${(error as Error).message}`);
    }
  }

  #exit(code: number): void {
    rmSync(runnerPidFile(this.#plan), { force: true });
    this.#log.close();
    process.exit(code);
  }
}

/** To a process that may be gone by now. */
function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // gone
  }
}

/** Whether the processes themselves follow a change of this key: `section/key`. */
function isLive(name: string): boolean {
  return SECTIONS.some(({ name: section, settings }) =>
    Object.entries(settings).some(
      ([key, setting]) => name === `${section}/${key}` && setting.isLive === true,
    ),
  );
}
