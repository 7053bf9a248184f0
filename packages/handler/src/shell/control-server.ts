import { createServer, type Server, type Socket } from "node:net";
import type { Logger } from "@pushpin/log";
import type { ControlAnswer } from "../core/control-api.ts";
import {
  ControlExchange,
  type ControlLimits,
  type ControlRequest,
  type ControlResponse,
  type ControlStep,
} from "../core/control-exchange.ts";

/** Limit: connections of a thread at once; more wait in the backlog. */
export const CONTROL_CONNECTIONS_MAX = 128;
/** Limit: open connections of a thread up to which one is kept for another request; beyond, each answer is the last. */
export const CONTROL_KEPT_MAX = 64;
/** A client that has not sent its whole request by then is cut. */
const REQUEST_TIMEOUT_MS = 60_000;
/** A client that keeps its connection has this long between requests. */
const IDLE_TIMEOUT_MS = 60_000;
/** After the answer, what the client still sends is read and dropped for this long. */
const LINGER_MS = 2000;
/** Between looks at all connections, while there are any. */
export const SWEEP_MS = 500;
/** Limit: time for publishers who have begun when the process is replaced; then they are cut. Unit: ms. */
const LEAVE_MAX_MS = 5000;
/** What was sent before has been read after this. */
const LEAVE_QUIET_MS = 50;
const LEAVE_LOOK_MS = 10;

export type ControlListen =
  | { readonly fd: number }
  | { readonly host: string; readonly port: number };

interface ControlOptions {
  readonly listen: ControlListen;
  readonly limits: ControlLimits;
  readonly answer: (request: ControlRequest) => ControlAnswer;
  readonly log: Pick<Logger, "info" | "warn">;
  /** Told how many connections have ended since the last time. */
  readonly onSweep?: (ended: number) => void;
}

interface Connection {
  readonly exchange: ControlExchange;
  dueMs: number;
  /** A request of it is being worked at. */
  isWaiting: boolean;
  /** The client sends no more. */
  hasEnded: boolean;
}

/** The HTTP control port: many short connections, one request each, or a few that are kept. */
export class ControlServer {
  readonly #server: Server;
  readonly #options: ControlOptions;
  readonly #connections = new Map<Socket, Connection>();
  #sweep: NodeJS.Timeout | undefined;
  #ended = 0;
  /** Of those over the limit, which wait. */
  readonly #waiting = new Set<Socket>();

  private constructor(server: Server, options: ControlOptions) {
    this.#server = server;
    this.#options = options;
    // The same functions for every connection; they know it by `this`.
    const control = this;
    const onData = function (this: Socket, bytes: Buffer) {
      control.#received(this, bytes);
    };
    const onEnd = function (this: Socket) {
      control.#hasEnded(this);
    };
    const onError = function (this: Socket) {
      this.destroy();
    };
    const onClose = function (this: Socket) {
      control.#closed(this);
    };
    server.on("connection", (socket) => {
      // One timer for all: connections come by the thousand.
      this.#sweep ??= setInterval(this.#look, SWEEP_MS).unref();
      this.#connections.set(socket, {
        exchange: new ControlExchange(options.limits),
        dueMs: performance.now() + REQUEST_TIMEOUT_MS,
        isWaiting: false,
        hasEnded: false,
      });
      socket.on("data", onData);
      socket.on("end", onEnd);
      socket.on("error", onError);
      socket.on("close", onClose);
      // Limit: CONTROL_CONNECTIONS_MAX. The rest of them are read when a place is free.
      if (this.#connections.size <= CONTROL_CONNECTIONS_MAX) return;
      this.#waiting.add(socket);
      socket.pause();
    });
  }

  static async open(options: ControlOptions): Promise<ControlServer> {
    const server = createServer({ allowHalfOpen: true });
    const control = new ControlServer(server, options);
    await new Promise<void>((resolve, reject) => {
      const { listen } = options;
      server.once("error", (error) =>
        reject(new Error(`unable to listen for control requests: ${error.message}`)),
      );
      const name = "fd" in listen ? `fd ${listen.fd}` : `${listen.host}:${listen.port}`;
      server.listen(listen, () => {
        options.log.info(`http control server listening on ${name}`);
        resolve();
      });
    });
    server.on("error", (error) => options.log.warn("control port", { error }));
    return control;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Takes nobody new, and answers those who have begun; the others come back. */
  async leave(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const endMs = performance.now() + LEAVE_MAX_MS;
    // What has been sent may not have been read yet.
    await new Promise((resolve) => setTimeout(resolve, LEAVE_QUIET_MS));
    // Limit: LEAVE_MAX_MS
    while (this.#connections.size > 0 && performance.now() < endMs) {
      for (const [socket, { exchange }] of this.#connections) if (exchange.isIdle) socket.destroy();
      await new Promise((resolve) => setTimeout(resolve, LEAVE_LOOK_MS));
    }
    clearInterval(this.#sweep);
    for (const socket of this.#connections.keys()) socket.destroy();
    await closed;
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    for (const socket of this.#connections.keys()) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  readonly #look = (): void => {
    const nowMs = performance.now();
    for (const [socket, { dueMs }] of this.#connections) if (dueMs <= nowMs) socket.destroy();
    const ended = this.#ended;
    this.#ended = 0;
    this.#options.onSweep?.(ended);
    if (ended > 0 || this.#connections.size > 0) return;
    // Nothing to look at until somebody comes.
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  };

  #closed(socket: Socket): void {
    this.#connections.delete(socket);
    this.#ended += 1;
    if (this.#waiting.size === 0) return;
    this.#waiting.delete(socket);
    const [next] = this.#waiting;
    if (next === undefined || this.#connections.size - this.#waiting.size >= CONTROL_CONNECTIONS_MAX)
      return;
    this.#waiting.delete(next);
    const connection = this.#connections.get(next);
    if (connection !== undefined) connection.dueMs = performance.now() + REQUEST_TIMEOUT_MS;
    next.resume();
  }

  #received(socket: Socket, bytes: Buffer): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return;
    if (connection.exchange.isIdle) connection.dueMs = performance.now() + REQUEST_TIMEOUT_MS;
    this.#step(socket, connection, connection.exchange.receive(bytes));
    // What comes behind a request may be one that has to wait in its turn.
    if (connection.isWaiting && !connection.exchange.isWhole) socket.pause();
  }

  #hasEnded(socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection !== undefined) connection.hasEnded = true;
    if (connection?.isWaiting !== true && !socket.writableEnded) socket.end();
  }

  #step(socket: Socket, connection: Connection, step: ControlStep): void {
    if (step.request === undefined) {
      if (step.end) {
        // What is still to come of a refused request is read first: or the answer could be lost.
        connection.dueMs = performance.now() + LINGER_MS;
        socket.end(step.send ?? "", "latin1");
      } else if (step.send !== undefined) socket.write(step.send, "latin1");
      return;
    }
    const answer = this.#options.answer(step.request);
    if ("later" in answer) this.#respondLater(socket, connection, answer.later);
    else this.#respond(socket, connection, answer.response, connection.exchange.isWhole, answer.run);
  }

  /** Many are answered at once, as nobody listens. */
  #respondLater(
    socket: Socket,
    connection: Connection,
    later: (respond: (response: ControlResponse) => void) => void,
  ): void {
    connection.isWaiting = true;
    later((response) => {
      connection.isWaiting = false;
      if (socket.destroyed) return;
      this.#respond(socket, connection, response, connection.exchange.isWhole);
      if (socket.isPaused() && !connection.isWaiting) socket.resume();
      if (connection.hasEnded && !connection.isWaiting && !socket.writableEnded) socket.end();
    });
  }

  /**
   * The last answer of a connection. Where nothing but the request has been sent, no lingering is
   * needed: with the answer in the kernel the socket is closed at once, which spares a shutdown, the
   * read of the client's end and the events of both.
   */
  #writeLast(socket: Socket, connection: Connection, send: string, isWhole: boolean): void {
    if (isWhole) {
      socket.write(send, "latin1");
      // Nothing waits in the process: the kernel has all of it.
      if (socket.writableLength === 0) {
        socket.destroy();
        return;
      }
    }
    connection.dueMs = performance.now() + LINGER_MS;
    if (isWhole) socket.end();
    else socket.end(send, "latin1");
  }

  #respond(
    socket: Socket,
    connection: Connection,
    response: ControlResponse,
    isWhole: boolean,
    run?: () => void,
  ): void {
    const { exchange } = connection;
    // Limit: CONTROL_KEPT_MAX
    const { send, end } = exchange.respond(response, this.#connections.size <= CONTROL_KEPT_MAX);
    if (end) {
      this.#writeLast(socket, connection, send, isWhole);
      run?.();
      return;
    }
    connection.dueMs = performance.now() + IDLE_TIMEOUT_MS;
    // Answers behind this one do not wait until the client has acknowledged it.
    socket.setNoDelay();
    socket.write(send, "latin1");
    run?.();
    this.#step(socket, connection, exchange.next());
  }
}
