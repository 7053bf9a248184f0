import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { STATUS_CODES, validateHeaderName, validateHeaderValue } from "node:http";
import type { Socket } from "node:net";
import { getHeader } from "@pushpin/http";
import { INITIAL_CREDITS } from "@pushpin/zhttp";
import { BodyLengthError, HangUpError, NotProcessedError } from "../core/condition.ts";
import { http2RequestHeaders, http2ResponseHeaders } from "../core/http2-headers.ts";
import { INTERIM_MAX } from "../core/interim-filter.ts";
import type { RequestPlan } from "../core/request-plan.ts";
import {
  type Connection,
  FIELDS_MAX,
  HEAD_MAX_BYTES,
  IDLE_MS,
  type OutgoingRequest,
  type ResponseHandler,
} from "./connection.ts";

/** Limit: requests at a time on one HTTP/2 connection; more go over another. Unit: requests. */
export const STREAMS_MAX = 1000;
/** One request goes out before the backend has said how many it takes. */
const STREAMS_BEFORE_SETTINGS = 1;
/** Limit: response bytes on their way over one HTTP/2 connection; the backend waits. Unit: bytes. */
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/**
 * A connection with open requests that is silent for this long is asked for a sign of life:
 * `node:http2` says nothing either when it has refused what the backend sent.
 */
const PING_AFTER_MS = 10_000;
/** It is given up if that does not come by then. */
const PING_TIMEOUT_MS = 10_000;
const NEEDS_LENGTH: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);
const {
  NGHTTP2_CANCEL,
  NGHTTP2_HTTP_1_1_REQUIRED,
  NGHTTP2_REFUSED_STREAM,
  NGHTTP2_FLAG_END_STREAM,
} = constants;

/** One HTTP/2 connection to a backend, shared by many requests. */
export class Http2Session {
  readonly #session: ClientHttp2Session;
  readonly #socket: Socket;
  readonly #streams = new Set<Http2Exchange>();
  readonly secure: boolean;
  #mayOpen = STREAMS_BEFORE_SETTINGS;
  #isClosing = false;
  #usedMs: number;
  #heardMs: number;
  #wasHeard = false;
  #pingedMs: number | undefined;
  hasAnswered = false;
  /** How many requests it takes is known. */
  isSettled = false;

  constructor(plan: RequestPlan, socket: Socket, nowMs: number, onChange: () => void) {
    this.secure = plan.secure;
    this.#usedMs = nowMs;
    this.#heardMs = nowMs;
    this.#socket = socket;
    this.#session = connect(plan.secure ? "https://backend" : "http://backend", {
      createConnection: () => socket,
      maxHeaderListPairs: FIELDS_MAX + 1,
      settings: {
        enablePush: false,
        initialWindowSize: INITIAL_CREDITS,
        maxHeaderListSize: HEAD_MAX_BYTES,
      },
    });
    const session = this.#session;
    session.on("connect", () => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
    session.on("remoteSettings", ({ maxConcurrentStreams }) => {
      const most = Math.min(maxConcurrentStreams ?? STREAMS_MAX, STREAMS_MAX); // Limit: STREAMS_MAX
      // One that takes none for now keeps the request until it does.
      this.#mayOpen = Math.max(most, 1);
      this.isSettled = true;
      onChange();
    });
    session.on("goaway", () => {
      this.#isClosing = true;
    });
    session.on("error", () => {}); // its streams hear of it
    session.on("close", () => {
      this.#isClosing = true;
      this.isSettled = true;
      onChange();
    });
  }

  get isUsable(): boolean {
    return !this.#isClosing && !this.#session.closed && !this.#session.destroyed;
  }

  /** How many more requests it takes. */
  get room(): number {
    return this.isUsable ? this.#mayOpen - this.#streams.size : 0;
  }

  get isBroken(): boolean {
    return this.#session.destroyed || this.#socket.destroyed;
  }

  /** Takes up its place at once: `room` counts it. */
  open(nowMs: number): Http2Exchange {
    this.#usedMs = nowMs;
    const exchange = new Http2Exchange(this, this.hasAnswered);
    this.#streams.add(exchange);
    return exchange;
  }

  request(headers: Record<string, string | string[]>, endStream: boolean): ClientHttp2Stream {
    return this.#session.request(headers, { endStream });
  }

  leave(exchange: Http2Exchange): void {
    this.#streams.delete(exchange);
  }

  /** The backend gave a sign of life. */
  heard(): void {
    this.#wasHeard = true;
  }

  /** Closes what nobody uses, and what gives no sign of life; call it every few seconds. */
  sweep(nowMs: number): void {
    if (this.#wasHeard) {
      this.#wasHeard = false;
      this.#heardMs = nowMs;
      this.#pingedMs = undefined;
    }
    if (this.#streams.size === 0) {
      if (nowMs - this.#usedMs >= IDLE_MS) this.close();
      return;
    }
    this.#usedMs = nowMs;
    if (this.#pingedMs !== undefined) {
      if (nowMs - this.#pingedMs >= PING_TIMEOUT_MS) this.destroy();
    } else if (nowMs - this.#heardMs >= PING_AFTER_MS && !this.#session.destroyed) {
      this.#pingedMs = nowMs;
      this.#session.ping((error) => {
        if (error === null) this.heard();
      });
    }
  }

  /** Requests on their way still end. */
  close(): void {
    this.#isClosing = true;
    if (!this.#session.destroyed) this.#session.close();
  }

  destroy(): void {
    this.#isClosing = true;
    this.#session.destroy();
  }
}

/** One request on an HTTP/2 connection. */
export class Http2Exchange implements Connection {
  readonly isReused: boolean;
  /** What ends without an end is told by the stream itself. */
  readonly hasFailed = false;
  readonly #session: Http2Session;
  #stream: ClientHttp2Stream | undefined;
  #handler: ResponseHandler | undefined;
  #hasResponse = false;
  /** The backend has said the end, which is not the same as that there is no more. */
  #isEnded = false;
  #interim = 0;
  #sent = 0;

  constructor(session: Http2Session, isReused: boolean) {
    this.#session = session;
    this.isReused = isReused;
  }

  get isUsable(): boolean {
    return this.#session.isUsable;
  }

  dispatch(request: OutgoingRequest, handler: ResponseHandler): void {
    this.#handler = handler;
    let stream: ClientHttp2Stream;
    try {
      stream = this.#open(request);
    } catch (error) {
      const { code } = error as { code?: string };
      const isGone = code?.startsWith("ERR_HTTP2_GOAWAY") || this.#session.isBroken;
      this.#settle(isGone ? new NotProcessedError(false) : (error as Error));
      return;
    }
    this.#stream = stream;
    this.#listen(stream);
    handler.onConnect(() => this.destroy());
    const { body } = request;
    if (body === null || this.#handler === undefined) return;
    if (Buffer.isBuffer(body)) stream.end(body);
    else this.#upload(stream, request);
  }

  destroy(): void {
    this.#handler = undefined;
    this.#session.leave(this);
    this.#stream?.close(NGHTTP2_CANCEL);
  }

  #open(request: OutgoingRequest): ClientHttp2Stream {
    const { method, headers, body } = request;
    // `node:http2` does not look at values.
    for (let i = 0; i < headers.length; i += 2) {
      validateHeaderName(headers[i] as string);
      validateHeaderValue(headers[i] as string, headers[i + 1] as string);
    }
    let length: number | undefined;
    if (Buffer.isBuffer(body)) length = body.length;
    else if (body === null && NEEDS_LENGTH.has(method)) length = 0;
    const line = { method, path: request.path, secure: this.#session.secure };
    const block = http2RequestHeaders(line, headers, length, false);
    try {
      return this.#session.request(block, body === null);
    } catch (error) {
      if ((error as { code?: string }).code !== "ERR_HTTP2_HEADER_SINGLE_VALUE") throw error;
      return this.#session.request(http2RequestHeaders(line, headers, length, true), body === null);
    }
  }

  #listen(stream: ClientHttp2Stream): void {
    const push = stream.push.bind(stream);
    stream.push = (chunk: unknown): boolean => {
      // A reset ends the stream too, but closes it first.
      if (chunk === null && !stream.closed) this.#isEnded = true;
      return push(chunk);
    };
    stream.on("headers", () => {
      this.#session.heard();
      this.#interim += 1;
      if (this.#interim <= INTERIM_MAX) return;
      stream.close(NGHTTP2_CANCEL); // Limit: INTERIM_MAX
      this.#settle(new Error("interim responses without an end"));
    });
    stream.on("response", (head, flags, raw?: string[]) => {
      this.#hasResponse = true;
      this.#session.hasAnswered = true;
      this.#session.heard();
      const code = Number(head[":status"]);
      const headers = http2ResponseHeaders(raw ?? []);
      if ((flags & NGHTTP2_FLAG_END_STREAM) !== 0) this.#isEnded = true;
      const resume = (): void => void stream.resume();
      if (this.#handler?.onHeaders(code, headers, resume, STATUS_CODES[code] ?? "") === false)
        stream.pause();
    });
    stream.on("data", (chunk: Buffer) => {
      this.#session.heard();
      if (this.#handler?.onData(chunk) === false) stream.pause();
    });
    stream.on("end", () => {
      if (this.#hasResponse && this.#isEnded) this.#settle(undefined);
    });
    stream.on("error", (error) => this.#settle(this.#reasonOf(stream, error)));
    stream.on("close", () => {
      if (this.#handler !== undefined) this.#settle(this.#reasonOf(stream));
    });
  }

  #reasonOf(stream: ClientHttp2Stream, error?: Error): Error {
    switch (stream.rstCode) {
      case NGHTTP2_REFUSED_STREAM:
        return new NotProcessedError(false);
      case NGHTTP2_HTTP_1_1_REQUIRED:
        return new NotProcessedError(true);
      default:
        if (this.#session.isBroken || !this.#session.isUsable)
          return new HangUpError("the connection was closed");
        return error ?? new Error(`the request was reset with code ${stream.rstCode}`);
    }
  }

  /** Hands the body on as fast as the backend takes it. */
  #upload(stream: ClientHttp2Stream, request: OutgoingRequest): void {
    const body = request.body as Exclude<OutgoingRequest["body"], Buffer | null>;
    const announced = getHeader(request.headers, "content-length");
    const length = announced === undefined ? undefined : Number(announced);
    const fail = (): void => {
      stream.close(NGHTTP2_CANCEL);
      this.#settle(new BodyLengthError());
    };
    const pump = (): void => {
      while (!stream.destroyed && !stream.closed && !stream.writableNeedDrain) {
        const chunk = body.read() as Buffer | null;
        if (chunk === null) return;
        this.#sent += chunk.length;
        if (length !== undefined && this.#sent > length) {
          fail();
          return;
        }
        stream.write(chunk);
      }
    };
    body.on("readable", pump);
    stream.on("drain", pump);
    body.on("end", () => {
      if (length !== undefined && this.#sent < length) fail();
      else stream.end();
    });
    body.on("error", () => stream.close(NGHTTP2_CANCEL));
  }

  #settle(error: Error | undefined): void {
    this.#session.leave(this);
    const handler = this.#handler;
    this.#handler = undefined;
    if (error === undefined) handler?.onComplete();
    else handler?.onError(error);
  }
}
