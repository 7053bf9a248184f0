import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Logger } from "@pushpin/log";
import { answerControl, type ControlTarget } from "../core/control-api.ts";
import { addResponse, type ControlBatch, readRequests } from "../core/control-batch.ts";
import type { ControlLimits, ControlRequest, ControlResponse } from "../core/control-exchange.ts";
import { type ControlListen, ControlServer, SWEEP_MS } from "./control-server.ts";

/**
 * Connections that end in a second, from which on a thread takes part in accepting and reading them. A hundredth of
 * what two threads can do: code that has not run yet is slow, so it should be warm when it is needed.
 */
export const CONTROL_THREAD_FROM = 100;

/** What a thread is given. */
export interface ThreadData {
  readonly fd: number;
  readonly limits: ControlLimits;
}

/** From the thread: requests, or what the log should have. */
export type ThreadNews =
  | ControlBatch
  | { readonly type: "warn"; readonly text: string }
  | { readonly type: "left" };

/** To the thread: answers, or that it should take nobody new. */
export type ThreadOrder = ControlBatch | "leave";

interface ControlPortOptions {
  readonly listen: ControlListen;
  /**
   * The same listening socket under more descriptors: each thread closes its own. Without any, all is done in the
   * process's own thread.
   */
  readonly copies: readonly number[];
  readonly limits: ControlLimits;
  readonly target: ControlTarget;
  readonly log: Logger;
  /** Cores of the machine. */
  readonly cores?: number;
  /** `CONTROL_THREAD_FROM`. */
  readonly threadFrom?: number;
  readonly startThread?: (data: ThreadData) => Worker;
}

/**
 * The HTTP control port. Most of what a publish costs is its TCP connection, so while many come and go, a thread
 * accepts, reads and answers connections beside this one; whoever is free takes the next from the kernel's queue. What a
 * request means is decided here for both.
 */
export class ControlPort {
  readonly #server: ControlServer;
  readonly #options: ControlPortOptions;
  readonly #copies: number[];
  #thread: ControlThread | undefined;
  #isLeaving = false;

  private constructor(server: ControlServer, options: ControlPortOptions) {
    this.#server = server;
    this.#options = options;
    const { copies, cores = availableParallelism() } = options;
    // With one core there is nothing to gain.
    this.#copies = cores > 1 ? [...copies] : [];
  }

  static async open(options: ControlPortOptions): Promise<ControlPort> {
    const { listen, limits, log, target } = options;
    const server = await ControlServer.open({
      listen,
      limits,
      log,
      answer: (request) => answerControl(request, target),
      onSweep: (ended) => port.#noteEnded(ended),
    });
    const port = new ControlPort(server, options);
    return port;
  }

  get port(): number {
    return this.#server.port;
  }

  get hasThread(): boolean {
    return this.#thread !== undefined;
  }

  /** Takes nobody new, and answers those who have begun; the others come back. */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    await Promise.all([this.#server.leave(), this.#thread?.leave()]);
    await this.#thread?.close();
  }

  async close(): Promise<void> {
    this.#isLeaving = true;
    await Promise.all([this.#server.close(), this.#thread?.close()]);
  }

  /** So many connections have ended since the last look. */
  #noteEnded(ended: number): void {
    if (this.#thread !== undefined || this.#isLeaving) return;
    const { threadFrom = CONTROL_THREAD_FROM } = this.#options;
    if (ended * 1000 < threadFrom * SWEEP_MS) return;
    const fd = this.#copies.shift();
    if (fd === undefined) return;
    const { limits, log, target, startThread = startControlThread } = this.#options;
    log.info("control port: many short connections, a thread takes part");
    const thread = new ControlThread({
      worker: startThread({ fd, limits }),
      target,
      log,
      onEnd: () => {
        if (this.#thread === thread) this.#thread = undefined;
      },
    });
    this.#thread = thread;
  }
}

function startControlThread(data: ThreadData): Worker {
  return new Worker(new URL("./control-thread.js", import.meta.url), { workerData: data });
}

interface ControlThreadOptions {
  readonly worker: Worker;
  readonly target: ControlTarget;
  readonly log: Logger;
  readonly onEnd: () => void;
}

/** This side of a thread: its requests are answered, together for each turn. */
class ControlThread {
  readonly #options: ControlThreadOptions;
  readonly #whenLeft: Promise<void>;
  #isClosing = false;
  #batch: ControlBatch = [];

  constructor(options: ControlThreadOptions) {
    this.#options = options;
    const { worker, log } = options;
    // The process ends without asking it.
    worker.unref();
    this.#whenLeft = new Promise((resolve) => {
      worker.on("message", (news: ThreadNews) => {
        if (Array.isArray(news)) readRequests(news, (...one) => this.#answer(...one));
        else if (news.type === "left") resolve();
        else log.warn(news.text);
      });
      worker.on("error", (error) => log.error("control port: the thread failed", { error }));
      worker.on("exit", () => {
        // Whoever it was answering comes again. Another is started when there is need.
        if (!this.#isClosing) log.warn("control port: the thread has ended");
        this.#isClosing = true;
        resolve();
        options.onEnd();
      });
    });
  }

  async leave(): Promise<void> {
    this.#options.worker.postMessage("leave" satisfies ThreadOrder);
    await this.#whenLeft;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#options.worker.terminate();
  }

  #answer(number: number, request: ControlRequest): void {
    const answer = answerControl(request, this.#options.target);
    if ("later" in answer) {
      answer.later((response) => this.#respond(number, response));
      return;
    }
    this.#respond(number, answer.response);
    answer.run?.();
  }

  #respond(number: number, response: ControlResponse): void {
    if (this.#batch.length === 0) setImmediate(this.#flush);
    addResponse(this.#batch, number, response);
  }

  readonly #flush = (): void => {
    const full = this.#batch;
    this.#batch = [];
    if (!this.#isClosing) this.#options.worker.postMessage(full satisfies ThreadOrder);
  };
}
