import { type ChildProcess, spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import type { Readable } from "node:stream";
import type { Logger } from "@pushpin/log";
import { Backoff } from "./backoff.ts";
import { MergedOutput } from "./merged-output.ts";

export interface ChildOptions {
  /** As shown in log lines. */
  readonly name: string;
  readonly command: readonly string[];
  readonly pidFile: string;
  /** Listening sockets handed over: systemd's name and our descriptor. */
  readonly listeners: readonly { readonly name: string; readonly fd: number }[];
  readonly log: Logger;
  /** Lines of the child's output. */
  readonly write: (line: string) => void;
  /** A child that never became ready has ended: the start is over. */
  readonly onStartFailed: (reason: string) => void;
}

/** A child that was told to stop and has not is ended by force after this. */
export const KILL_AFTER_MS = 4000;

/** One supervised process: started, watched, started again when it ends, stopped orderly. */
export class Child {
  readonly #options: ChildOptions;
  readonly #backoff = new Backoff();
  #process: ChildProcess | undefined;
  #startedMs = 0;
  #stopping = false;
  #everReady = false;
  #restartTimer: NodeJS.Timeout | undefined;
  #becameReady: () => void = () => {};
  /** Settles when the child has said for the first time that all its sockets are open. */
  readonly ready: Promise<void>;
  #gone: Promise<void> = Promise.resolve();

  constructor(options: ChildOptions) {
    this.#options = options;
    this.ready = new Promise((resolve) => {
      this.#becameReady = resolve;
    });
  }

  get name(): string {
    return this.#options.name;
  }

  start(): void {
    const { command, listeners, pidFile, name, log } = this.#options;
    const [file = "", ...args] = command;
    const readyFd = 3 + listeners.length;
    this.#startedMs = performance.now();
    const child = spawn(file, args, {
      // A group of its own: a Ctrl-C at the terminal reaches only the runner.
      detached: true,
      stdio: ["ignore", "pipe", "pipe", ...listeners.map((one) => one.fd), "pipe"],
      env: {
        ...process.env,
        PUSHPIN_READY_FD: String(readyFd),
        LISTEN_FDS: String(listeners.length),
        LISTEN_PID: "0",
        LISTEN_FDNAMES: listeners.map((one) => one.name).join(":"),
      },
    });
    this.#process = child;
    let spawnError: string | undefined;
    child.once("error", (error) => {
      spawnError = `Error running: ${file} (${error.message})`;
    });
    if (child.pid !== undefined) writeFileSync(pidFile, `${child.pid}\n`);
    for (const stream of [child.stdout, child.stderr]) this.#forward(stream);
    (child.stdio[readyFd] as Readable | null)?.once("data", () => this.#ready());
    this.#gone = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        rmSync(pidFile, { force: true });
        this.#process = undefined;
        resolve();
        if (this.#stopping) return;
        this.#ended(spawnError ?? (signal === null ? `exit code ${code}` : `signal ${signal}`));
      });
    });
    log.debug("child started", { name, pid: child.pid });
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  /** Asks the child to end, and makes it end after a while. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restartTimer);
    if (this.#process === undefined) return;
    this.#process.kill("SIGTERM");
    const force = setTimeout(() => {
      this.#options.log.warn(`${this.name} taking too long, forcing quit`);
      this.#process?.kill("SIGKILL");
    }, KILL_AFTER_MS);
    await this.#gone;
    clearTimeout(force);
  }

  kill(): void {
    this.#stopping = true;
    this.#process?.kill("SIGKILL");
  }

  #forward(stream: Readable | null): void {
    if (stream === null) return;
    const output = new MergedOutput(this.name, this.#options.write);
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => output.add(text));
    stream.on("end", () => output.end());
  }

  #ready(): void {
    const { log, name } = this.#options;
    if (this.#everReady)
      log.info(`${name} is back`, { afterMs: Math.round(performance.now() - this.#startedMs) });
    this.#everReady = true;
    this.#becameReady();
  }

  #ended(why: string): void {
    const { log, name, onStartFailed } = this.#options;
    if (!this.#everReady) {
      log.error(`${name}: failed to start`, { reason: why });
      onStartFailed(`${name} failed to start`);
      return;
    }
    const delayMs = this.#backoff.nextDelayMs(performance.now() - this.#startedMs);
    log.error(`${name}: Exited unexpectedly`, { reason: why, restartInMs: delayMs });
    this.#restartTimer = setTimeout(() => this.start(), delayMs);
  }
}
