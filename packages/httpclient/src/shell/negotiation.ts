import type { Socket } from "node:net";
import type { RequestPlan } from "../core/request-plan.ts";
import {
  type Connection,
  Http1Connection,
  type OutgoingRequest,
  type ResponseHandler,
} from "./connection.ts";
import type { Connect } from "./connector.ts";
import { Http2Session } from "./http2-session.ts";

/** Requests that one connection is expected to take. */
const STREAMS_EXPECTED = 100;

/** One request of a target that may speak HTTP/2: over what it goes is known when it has connected. */
export class NegotiatedConnection implements Connection {
  #inner: Connection | undefined;
  #waiting: { readonly request: OutgoingRequest; readonly handler: ResponseHandler } | undefined;
  #isOver = false;

  get isReused(): boolean {
    return this.#inner?.isReused ?? false;
  }

  get isUsable(): boolean {
    return this.#inner?.isUsable ?? !this.#isOver;
  }

  get hasFailed(): boolean {
    return this.#inner?.hasFailed ?? false;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get http1(): Http1Connection | undefined {
    return this.#inner instanceof Http1Connection ? this.#inner : undefined;
  }

  dispatch(request: OutgoingRequest, handler: ResponseHandler): void {
    if (this.#inner === undefined) this.#waiting = { request, handler };
    else this.#inner.dispatch(request, handler);
  }

  /** What the request goes over. */
  settle(inner: Connection): void {
    this.#inner = inner;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) inner.dispatch(waiting.request, waiting.handler);
  }

  fail(error: Error): void {
    this.#isOver = true;
    this.#waiting?.handler.onError(error);
  }

  destroy(): void {
    this.#isOver = true;
    this.#waiting = undefined;
    this.#inner?.destroy();
  }
}

/**
 * What one target speaks, and its HTTP/2 connections. While that is not known, requests wait for
 * one handshake instead of making one each.
 */
export class Negotiation {
  readonly #plan: RequestPlan;
  readonly #connect: Connect;
  readonly #connectHttp1: Connect;
  readonly #sessions: Http2Session[] = [];
  #waiting: NegotiatedConnection[] = [];
  /** Connections on their way, and sessions that have not said how many requests they take. */
  #dialing = 0;
  #nowMs = 0;
  /** False once the backend has chosen HTTP/1.1. */
  mayBeHttp2 = true;

  constructor(plan: RequestPlan, connect: Connect, connectHttp1: Connect) {
    this.#plan = plan;
    this.#connect = connect;
    this.#connectHttp1 = connectHttp1;
  }

  get isUsed(): boolean {
    return this.#sessions.length > 0 || this.#dialing > 0;
  }

  take(nowMs: number): Connection {
    this.#nowMs = nowMs;
    // Requests that wait come first.
    const session = this.#waiting.length === 0 ? this.#withRoom() : undefined;
    if (session !== undefined) return session.open(nowMs);
    const connection = new NegotiatedConnection();
    this.#waiting.push(connection);
    this.#dial();
    return connection;
  }

  avoid(): void {
    this.mayBeHttp2 = false;
    for (const session of this.#sessions) session.close();
  }

  sweep(nowMs: number): void {
    this.#nowMs = nowMs;
    for (const session of [...this.#sessions]) session.sweep(nowMs);
  }

  close(): void {
    this.mayBeHttp2 = false;
    for (const session of [...this.#sessions]) session.destroy();
  }

  #withRoom(): Http2Session | undefined {
    return this.#sessions.find((one) => one.room > 0);
  }

  /** As many connections as those that wait will need. */
  #dial(): void {
    while (this.#dialing * STREAMS_EXPECTED < this.#waiting.length) {
      this.#dialing += 1;
      this.#connect((error, socket) => {
        if ((socket as { alpnProtocol?: unknown } | null)?.alpnProtocol === "h2") {
          this.#http2(socket as Socket);
          return;
        }
        this.#dialing -= 1;
        if (socket === null) this.#failed(error as Error);
        else this.#http1(socket);
      });
    }
  }

  #failed(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) one.fail(error);
  }

  #http2(socket: Socket): void {
    let isCounted = true;
    const session = new Http2Session(this.#plan, socket, this.#nowMs, () => {
      if (isCounted && session.isSettled) {
        isCounted = false;
        this.#dialing -= 1;
      }
      this.#changed();
    });
    this.#sessions.push(session);
    this.#serve();
  }

  #changed(): void {
    for (let i = this.#sessions.length - 1; i >= 0; i -= 1)
      if (this.#sessions[i]?.isBroken) this.#sessions.splice(i, 1);
    this.#serve();
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      const session = this.#withRoom();
      if (session === undefined) break;
      const one = this.#waiting.shift() as NegotiatedConnection;
      if (!one.isOver) one.settle(session.open(this.#nowMs));
    }
    this.#dial();
  }

  #http1(socket: Socket): void {
    this.mayBeHttp2 = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    let first: Socket | undefined = socket;
    const connect: Connect = (done) => {
      const made = first;
      first = undefined;
      if (made === undefined || made.destroyed) this.#connectHttp1(done);
      else queueMicrotask(() => done(null, made)); // undici is not ready for it before
    };
    let isTaken = false;
    for (const one of waiting) {
      if (one.isOver) continue;
      one.settle(new Http1Connection(this.#plan, isTaken ? this.#connectHttp1 : connect));
      isTaken = true;
    }
    if (!isTaken) socket.destroy();
  }
}
