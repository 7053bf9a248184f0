import type { Socket } from "node:net";
import type { HeaderList } from "@pushpin/http";
import type { buildConnector, Dispatcher } from "undici";
import { InterimFilter } from "../core/interim-filter.ts";
import type { RequestPlan } from "../core/request-plan.ts";
import type { Connect } from "./connector.ts";
import { Client } from "./undici.ts";
import type { UploadBody } from "./upload-body.ts";

/** A connection nobody used for this long is closed. */
export const IDLE_MS = 55_000;
/** Limit: head of a response; the request fails. Unit: bytes. */
export const HEAD_MAX_BYTES = 65_536;
/** Limit: header fields of a response; the request fails. */
export const FIELDS_MAX = 1000;

const ignored = (): void => {};

export interface OutgoingRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: HeaderList;
  readonly body: Buffer | UploadBody | null;
}

/** Told what becomes of a request; undici's own handlers look like this. */
export interface ResponseHandler {
  /** The request goes out now; `abort` gives it up. */
  onConnect(abort: (error?: Error) => void): void;
  /** Name and value in turns. False stops the reading, `resume` goes on with it. */
  onHeaders(
    code: number,
    raw: readonly (Buffer | string)[],
    resume: () => void,
    reason: string,
  ): boolean;
  onData(chunk: Buffer): boolean;
  onComplete(): void;
  onError(error: Error): void;
}

/** What one request goes over. */
export interface Connection {
  /** A request has been answered on it before: it may be about to close. */
  readonly isReused: boolean;
  readonly isUsable: boolean;
  /** The socket failed: a response that ends with it may be cut. */
  readonly hasFailed: boolean;
  /** A failure of this call comes as `onError`. */
  dispatch(request: OutgoingRequest, handler: ResponseHandler): void;
  /** The request is over, and so is what it went over. */
  destroy(): void;
}

/** One HTTP/1.1 connection to a backend, used by one request at a time. */
export class Http1Connection implements Connection {
  readonly #client: Client;
  readonly #origin: string;
  readonly #filter = new InterimFilter();
  /** When it was given back; undefined while it has never been used. */
  idleSinceMs: number | undefined;
  hasFailed = false;
  #isGone = false;

  constructor(plan: RequestPlan, connect: Connect) {
    const host = plan.host.includes(":") ? `[${plan.host}]` : plan.host;
    const shown = plan.socketPath === undefined ? `${host}:${plan.port}` : "localhost";
    this.#origin = `${plan.secure ? "https" : "http"}://${shown}`;
    this.#client = new Client(this.#origin, {
      connect: (_options: buildConnector.Options, done: buildConnector.Callback) =>
        connect((error, socket) => {
          if (socket === null) done(error as Error, null);
          else done(null, this.#watched(socket));
        }),
      allowH2: false,
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: IDLE_MS,
      maxHeaderSize: HEAD_MAX_BYTES,
    });
    this.#client.on("disconnect", () => {
      this.#isGone = true; // its errors reach the request
    });
  }

  get isReused(): boolean {
    return this.idleSinceMs !== undefined;
  }

  get isUsable(): boolean {
    return !this.#isGone && !this.#client.destroyed && !this.#client.closed;
  }

  dispatch(request: OutgoingRequest, handler: ResponseHandler): void {
    this.#filter.arm();
    this.#client.dispatch(
      {
        origin: this.#origin,
        path: request.path,
        method: request.method as Dispatcher.HttpMethod,
        headers: request.headers,
        body: request.body,
        blocking: false,
      },
      handler as Dispatcher.DispatchHandler,
    );
  }

  destroy(): void {
    this.#isGone = true;
    this.#client.destroy(null, ignored);
  }

  #watched(socket: Socket): Socket {
    this.#isGone = false;
    this.hasFailed = false;
    // First of all listeners: it must be known when the parser is told the end.
    socket.on("error", () => {
      this.hasFailed = true;
    });
    const read = socket.read.bind(socket);
    socket.read = (bytes?: number): unknown => {
      const chunk = read(bytes) as Buffer | null;
      if (chunk === null) return null;
      const filtered = this.#filter.take(chunk);
      if (typeof filtered !== "string") return filtered;
      if (filtered === "too-many") socket.destroy(new Error("interim responses without an end"));
      return null;
    };
    return socket;
  }
}
