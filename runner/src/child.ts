import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import type { Readable } from "node:stream";
import type { Logger } from "@pushpin/log";
import { Backoff } from "./backoff.ts";
import { BEAT_MS, type Hang, Heartbeat } from "./heartbeat.ts";
import { MergedOutput } from "./merged-output.ts";
import { FINGERPRINT, isAlive, isStopped } from "./running-child.ts";

/** A listening socket on its way to a child: systemd's name and our descriptor. */
export interface HandedListener {
  readonly name: string;
  readonly fd: number;
}

export interface ChildOptions {
  /** As shown in log lines. */
  readonly name: string;
  readonly command: readonly string[];
  readonly pidFile: string;
  /** Says what the child was started with; a later runner adopts it only if nothing differs. */
  readonly fingerprint: string;
  /** Asked at each start. */
  readonly listeners: () => readonly HandedListener[];
  /** How long it may take to end after it was told to, if longer than `KILL_AFTER_MS`. */
  readonly stopTimeoutMs?: number;
  /** Silent for longer than this it counts as hanging, and is replaced; 0: never. */
  readonly silenceMaxMs: number;
  /** Not ready by then it counts as hanging likewise; 0: never. */
  readonly startMaxMs: number;
  /** Somebody else's program that is known to crash now and then while it ends: that is no failure of ours. */
  readonly mayCrashAtStop?: boolean;
  /** False: a child that ends unasked is not started again. */
  readonly restart: boolean;
  readonly log: Logger;
  /** What has to be done before each start. @throws Error that says why it cannot be started. */
  readonly prepare?: () => void;
  /** A child that does not tell by itself that it is ready is asked like this. */
  readonly isReady?: () => boolean | Promise<boolean>;
  /** Makes a line of the log of what the child wrote; undefined: it is not wanted. */
  readonly relabel?: (line: string) => string | undefined;
  /** Lines of the child's output. */
  readonly write: (line: string) => void;
  /** The child cannot be had: it never became ready, or may not be started again. */
  readonly onLost: () => void;
}

/** A child that was told to stop and has not is ended by force after this. */
export const KILL_AFTER_MS = 4000;
/** A child that was asked to leave and has not is ended by force after this. */
const REPLACE_TIMEOUT_MS = 15_000;
/** How often an adopted child, which is not ours to wait for, is looked at. */
const WATCH_ADOPTED_MS = 200;
/** How often a child that does not tell is asked whether it is ready. */
const WATCH_READINESS_MS = 20;
/** Variables that are meant for the runner alone. */
const OWN_VARIABLES = new Set(["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]);
/** Names the HTTP client looks up at a time: each occupies a thread, Node.js has four unasked. */
const RESOLVER_THREADS = "16";

type Phase =
  | { readonly name: "idle" }
  | { readonly name: "running"; readonly process: ChildProcess; readonly startedMs: number }
  | { readonly name: "adopted"; readonly pid: number; readonly watch: NodeJS.Timeout }
  | { readonly name: "waiting"; readonly timer: NodeJS.Timeout };

/** One supervised process: started or adopted, watched, started again when it ends, stopped orderly. */
export class Child {
  readonly #options: ChildOptions;
  readonly #backoff = new Backoff();
  #phase: Phase = { name: "idle" };
  #stopping = false;
  #everReady = false;
  /** Starts since it was last ready. */
  #vainStarts = 0;
  /** What the child itself gave as the reason of its end. */
  #reason: string | undefined;
  #forced = false;
  #isHanging = false;
  #endedBadly = false;
  /** It was asked to leave its place to a new process. */
  #isReplaced = false;
  #becameReady: () => void = () => {};
  /** Settles when the child has said for the first time that all its sockets are open. */
  readonly ready: Promise<void>;
  #becameGone: () => void = () => {};

  constructor(options: ChildOptions) {
    this.#options = options;
    this.ready = new Promise((resolve) => {
      this.#becameReady = resolve;
    });
  }

  get name(): string {
    return this.#options.name;
  }

  /** It keeps ending before it is ready. */
  get isFailing(): boolean {
    return this.#vainStarts > 1;
  }

  start(): void {
    const { command, pidFile, name, log } = this.#options;
    const program = command.find((one) => one.endsWith(".js"));
    if (program !== undefined && !existsSync(program)) {
      this.#ended(`Error running: ${program}`, performance.now());
      return;
    }
    let listeners: readonly HandedListener[];
    try {
      this.#options.prepare?.();
      listeners = this.#options.listeners();
    } catch (error) {
      this.#ended((error as Error).message, performance.now());
      return;
    }
    this.#vainStarts += 1;
    this.#reason = undefined;
    this.#isHanging = false;
    const child = this.#spawn(listeners);
    const startedMs = performance.now();
    this.#phase = { name: "running", process: child, startedMs };
    let spawnError: string | undefined;
    child.once("error", (error) => {
      spawnError = `Error running: ${command[0]} (${error.message})`;
    });
    if (child.pid !== undefined) writeFileSync(pidFile, `${child.pid}\n`);
    for (const stream of [child.stdout, child.stderr]) this.#forward(stream);
    const report = child.stdio[3 + listeners.length] as Readable | null;
    const heartbeat = this.#watch(child);
    let rest = "";
    report?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines)
        if (line === "ALIVE") heartbeat.beat();
        else this.#reported(line, startedMs, heartbeat);
    });
    void this.#watchReadiness(child, startedMs, heartbeat);
    child.once("close", (code, signal) => {
      rmSync(pidFile, { force: true });
      this.#phase = { name: "idle" };
      if (this.#stopping) this.#stopped(code, signal);
      else {
        const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
        this.#ended(spawnError ?? this.#reason ?? how, startedMs);
      }
      this.#becameGone();
    });
    log.debug("child started", { name, pid: child.pid });
  }

  /**
   * Takes over a child of a runner that is gone. It talks to nobody: that it was stopped can be seen from outside,
   * that it is caught in a loop cannot.
   */
  adopt(pid: number): void {
    const { silenceMaxMs } = this.#options;
    const stoppedMax = silenceMaxMs === 0 ? Infinity : silenceMaxMs / WATCH_ADOPTED_MS;
    let stopped = 0;
    const watch = setInterval(() => {
      if (isAlive(pid)) {
        stopped = isStopped(pid) ? stopped + 1 : 0;
        if (stopped > stoppedMax && !this.#stopping) this.#endHanging("silent");
        return;
      }
      clearInterval(watch);
      rmSync(this.#options.pidFile, { force: true });
      this.#phase = { name: "idle" };
      if (!this.#stopping) this.#ended(this.#reason ?? "gone", performance.now());
      this.#becameGone();
    }, WATCH_ADOPTED_MS);
    this.#phase = { name: "adopted", pid, watch };
    this.#isHanging = false;
    this.#everReady = true;
    this.#becameReady();
    this.#options.log.info(`adopted ${this.name}`, { pid });
  }

  signal(signal: NodeJS.Signals): void {
    const phase = this.#phase;
    if (phase.name === "running") phase.process.kill(signal);
    else if (phase.name === "adopted" && isAlive(phase.pid)) process.kill(phase.pid, signal);
  }

  /** Asks the child to end, and makes it end after a while. @returns whether it ended well. */
  async stop(): Promise<boolean> {
    this.#stopping = true;
    const phase = this.#phase;
    if (phase.name === "waiting") clearTimeout(phase.timer);
    if (phase.name !== "running" && phase.name !== "adopted") return true;
    const gone = new Promise<void>((resolve) => {
      this.#becameGone = resolve;
    });
    this.signal("SIGTERM");
    const force = setTimeout(() => {
      this.#options.log.warn(`${this.name} taking too long, forcing quit`);
      this.#forced = true;
      this.signal("SIGKILL");
    }, Math.max(KILL_AFTER_MS, this.#options.stopTimeoutMs ?? 0));
    await gone;
    clearTimeout(force);
    return !this.#endedBadly;
  }

  /** One that is starting reads everything anyway, and cannot be told yet. */
  reload(): void {
    if (this.#vainStarts === 0) this.signal("SIGHUP");
  }

  /** Lets a new process take the place of the running one. Resolves when it is ready. */
  async replace(): Promise<void> {
    const phase = this.#phase;
    if (this.#stopping || (phase.name !== "running" && phase.name !== "adopted")) return;
    this.#isReplaced = true;
    const ready = new Promise<void>((resolve) => {
      this.#becameReady = resolve;
    });
    this.#options.log.info(`replacing ${this.name}`);
    this.signal("SIGUSR2");
    const force = setTimeout(() => {
      if (this.#isReplaced) this.signal("SIGKILL"); // still the old one
    }, REPLACE_TIMEOUT_MS);
    await ready;
    clearTimeout(force);
  }

  /** Ends it at once. */
  kill(): void {
    this.#stopping = true;
    if (this.#phase.name !== "running" && this.#phase.name !== "adopted") return;
    this.#options.log.warn(`${this.name} running while needing to exit, forcing quit`);
    this.signal("SIGKILL");
    rmSync(this.#options.pidFile, { force: true });
  }

  #spawn(listeners: readonly HandedListener[]): ChildProcess {
    const [file = "", ...args] = this.#options.command;
    const inherited = Object.entries(process.env).filter(([name]) => !OWN_VARIABLES.has(name));
    return spawn(file, args, {
      // A group of its own: a Ctrl-C at the terminal reaches only the runner.
      detached: true,
      stdio: ["ignore", "pipe", "pipe", ...listeners.map((one) => one.fd), "pipe"],
      env: {
        ...(this.name.startsWith("httpclient") ? { UV_THREADPOOL_SIZE: RESOLVER_THREADS } : {}),
        ...Object.fromEntries(inherited),
        PUSHPIN_READY_FD: String(3 + listeners.length),
        [FINGERPRINT]: this.#options.fingerprint,
        LISTEN_FDS: String(listeners.length),
        LISTEN_PID: "0",
        LISTEN_FDNAMES: listeners.map((one) => one.name).join(":"),
      },
    });
  }

  #watch(child: ChildProcess): Heartbeat {
    const { silenceMaxMs, startMaxMs } = this.#options;
    const heartbeat = new Heartbeat(silenceMaxMs, startMaxMs);
    const timer = setInterval(() => {
      const hang = heartbeat.look();
      if (hang !== undefined && !this.#stopping) this.#endHanging(hang);
    }, BEAT_MS);
    timer.unref();
    child.once("exit", () => clearInterval(timer));
    return heartbeat;
  }

  /**
   * At once and by force, before its successor starts: it holds the sockets the successor needs, and what is dead does not
   * wake up later and go on with sessions that are no longer its own.
   */
  #endHanging(hang: Hang): void {
    if (this.#isHanging) return;
    this.#isHanging = true;
    const phase = this.#phase;
    const pid = phase.name === "running" ? phase.process.pid : phase.name === "adopted" ? phase.pid : 0;
    const state = pid !== undefined && pid > 0 && isStopped(pid) ? "stopped" : "hanging";
    const { silenceMaxMs, startMaxMs } = this.#options;
    this.#reason =
      hang === "not ready"
        ? `not ready after ${startMaxMs / 1000} s`
        : `not responding (${state} for more than ${silenceMaxMs / 1000} s)`;
    this.#options.log.error(`${this.name}: ${this.#reason}, ending it`, { pid });
    this.signal("SIGKILL");
  }

  #forward(stream: Readable | null): void {
    if (stream === null) return;
    const write = (line: string) => {
      // V8's own last words, when a heap is full; only they say why it aborts.
      const fatal = /FATAL ERROR: (.*)$/.exec(line);
      if (fatal !== null) this.#reason = fatal[1];
      this.#options.write(line);
    };
    const output = new MergedOutput(this.name, write, this.#options.relabel);
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => output.add(text));
    stream.on("end", () => output.end());
  }

  async #watchReadiness(child: ChildProcess, startedMs: number, heartbeat: Heartbeat): Promise<void> {
    const { isReady } = this.#options;
    if (isReady === undefined) return;
    while (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      if (await isReady()) {
        this.#reported("READY", startedMs, heartbeat);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, WATCH_READINESS_MS));
    }
  }

  #reported(text: string, startedMs: number, heartbeat: Heartbeat): void {
    const { log, name } = this.#options;
    if (text.startsWith("FAILED ")) this.#reason = text.slice("FAILED ".length);
    if (text !== "READY") return;
    heartbeat.ready();
    if (this.#everReady)
      log.info(`${name} is back`, { afterMs: Math.round(performance.now() - startedMs) });
    this.#everReady = true;
    this.#vainStarts = 0;
    this.#becameReady();
  }

  #stopped(code: number | null, signal: NodeJS.Signals | null): void {
    const { log, name } = this.#options;
    if (this.#forced || this.#isReplaced || code === 0) return;
    if (signal !== null && this.#options.mayCrashAtStop) {
      log.warn(`${name}: Exited uncleanly`, { signal });
      return;
    }
    this.#endedBadly = true;
    if (signal !== null) log.error(`${name}: Exited uncleanly`, { signal });
    else log.error(`${name}: Unexpected return code: ${code}`);
  }

  #ended(why: string, startedMs: number): void {
    if (this.#isReplaced) {
      this.#isReplaced = false;
      this.start();
      return;
    }
    const { log, name, restart, onLost } = this.#options;
    if (!this.#everReady) {
      log.error(why.startsWith("Error running") ? `${name}: ${why}` : `${name}: failed to start: ${why}`);
      onLost();
      return;
    }
    if (!restart) {
      log.error(`${name}: Exited unexpectedly`, { reason: why });
      onLost();
      return;
    }
    const restartInMs = this.#backoff.nextDelayMs(performance.now() - startedMs);
    log.error(`${name}: Exited unexpectedly`, { reason: why, restartInMs });
    this.#phase = { name: "waiting", timer: setTimeout(() => this.start(), restartInMs) };
  }
}
