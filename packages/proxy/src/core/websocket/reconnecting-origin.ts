import type { Timer } from "@pushpin/clock";
import { getAllHeaders } from "@pushpin/http";
import type { Bytes } from "@pushpin/tnetstrings";
import { type ResumePoint, RetainedStream, type StreamPiece } from "@pushpin/zhttp";
import type { RelayPorts } from "../relay/ports.ts";
import type { HeldSocket, StreamBase } from "./socket-anchor.ts";
import type { HandshakeHead, MessageType, SocketOrigin, SocketOriginEvents } from "./socket-ports.ts";
import { SERVICE_RESTART, type ZwsOrigin, type ZwsOriginEvents } from "./zws-origin.ts";

/**
 * Limit: time in which a lost connection to a backend must be open again; then the client is closed
 * with 1012. Unit: ms.
 */
export const RECONNECT_MAX_MS = 30_000;
/** Pause before the first attempt that follows a failed one; each further one is twice as long. */
const PAUSE_MS = 100;
const PAUSE_MAX_MS = 2000;

/** Headers of the handshake's answer that the client has been told, and relies on. */
const AGREED = ["sec-websocket-protocol", "sec-websocket-extensions"];

export type Dial = (events: ZwsOriginEvents, base?: StreamBase) => ZwsOrigin;

//   connected ──keeperGone──▶ lost ──opened──▶ connected;   lost ──time is up, refused──▶ over
/**
 * A backend's WebSocket on a route with `reconnect`: when the process that held the connection is gone,
 * it is opened again, and what the backend had not taken is sent again, by whole messages.
 */
export class ReconnectingOrigin implements SocketOrigin {
  readonly #ports: RelayPorts;
  readonly #dial: Dial;
  readonly #events: SocketOriginEvents;
  #connection: ZwsOrigin;
  /** Set while there is no connection. */
  #lost: { readonly untilMs: number; pauseMs: number; timer: Timer | undefined } | undefined;
  /** What the backend has not taken. */
  #kept = new RetainedStream(0, false, true);
  /** Body bytes of the client since it was opened, and how many of them the backend has taken. */
  #submitted = 0;
  #taken = 0;
  /** How far the client has the backend's messages, by a proxy before us. */
  #passedOn = 0;
  /** What the client has been told of the handshake; undefined before that. */
  #agreed: string | undefined;
  /** Body bytes of the backend that are not granted yet, and how many of them the connection before delivered. */
  #ungranted = 0;
  #stale = 0;
  /** A message of the backend is only half there. */
  #isInMessage = false;
  #close: { readonly code: number | undefined; readonly reason: Bytes } | undefined;
  #isOver = false;

  constructor(ports: RelayPorts, dial: Dial, events: SocketOriginEvents) {
    this.#ports = ports;
    this.#dial = dial;
    this.#events = events;
    this.#connection = dial(this.#listener());
  }

  get queuedBytes(): number {
    return this.#lost === undefined ? this.#connection.queuedBytes : this.#submitted - this.#taken;
  }

  get held(): HeldSocket | undefined {
    const held = this.#lost === undefined ? this.#connection.held : undefined;
    return held === undefined ? undefined : { ...held, agreed: this.#agreed };
  }

  open(): void {
    this.#connection.open();
  }

  refresh(): void {}

  reclaim(held: HeldSocket, point: ResumePoint): void {
    this.#kept = new RetainedStream(point.sent, point.isMid, true);
    this.#passedOn = point.at;
    this.#agreed = held.agreed;
    this.#connection.reclaim(held, point);
  }

  message(type: MessageType, body: Bytes, more: boolean): void {
    this.#keep({ type: "data", contentType: type, body, more });
    if (this.#lost === undefined) this.#connection.message(type, body, more);
  }

  ping(body: Bytes): void {
    this.#keep({ type: "ping", contentType: "", body, more: false });
    if (this.#lost === undefined) this.#connection.ping(body);
  }

  pong(body: Bytes): void {
    this.#keep({ type: "pong", contentType: "", body, more: false });
    if (this.#lost === undefined) this.#connection.pong(body);
  }

  close(code: number | undefined, reason: Bytes): void {
    this.#close = { code, reason };
    if (this.#lost === undefined) this.#connection.close(code, reason);
  }

  drop(): void {
    this.#isOver = true;
    this.#lost?.timer?.cancel();
    this.#connection.drop();
  }

  grant(bytes: number): void {
    this.#ungranted -= bytes;
    const stale = Math.min(this.#stale, bytes);
    this.#stale -= stale;
    if (this.#lost === undefined && bytes > stale) this.#connection.grant(bytes - stale);
  }

  #keep(piece: StreamPiece): void {
    this.#submitted += piece.body.length;
    this.#kept.add(piece);
  }

  /** What the HTTP client has credited is the backend's, and need not be sent again. */
  #noteTaken(): void {
    const taken = this.#submitted - this.#connection.queuedBytes;
    if (taken <= this.#taken) return;
    this.#kept.credited(taken - this.#taken);
    this.#taken = taken;
  }

  #listener(): ZwsOriginEvents {
    const events = this.#events;
    return {
      opened: (head) => this.#opened(head),
      rejected: (head, body) => {
        if (this.#lost === undefined) events.rejected(head, body);
        else if (head.code >= 500) this.#failed();
        else this.#giveUp();
      },
      failed: (condition) => {
        if (this.#lost === undefined) events.failed(condition);
        else this.#failed();
      },
      message: (type, body, more, at) => {
        this.#isInMessage = more;
        this.#ungranted += body.length;
        events.message(type, body, more, at);
      },
      ping: (body, at) => {
        this.#ungranted += body.length;
        events.ping(body, at);
      },
      pong: (body, at) => {
        this.#ungranted += body.length;
        events.pong(body, at);
      },
      close: (code, reason) => events.close(code, reason),
      drained: () => {
        this.#noteTaken();
        events.drained();
      },
      gone: () => events.gone(),
      inMidMessage: (isPassed) => {
        this.#isInMessage = true;
        events.inMidMessage(isPassed);
      },
      stateChanged: () => events.stateChanged(),
      keeperGone: () => this.#keeperGone(),
    };
  }

  #opened(head: HandshakeHead): void {
    const agreed = agreedOf(head);
    if (this.#lost === undefined) {
      this.#agreed = agreed;
      this.#events.opened(head);
      return;
    }
    // The client cannot be told of another.
    if (this.#agreed !== undefined && this.#agreed !== agreed) {
      this.#connection.drop();
      this.#giveUp();
      return;
    }
    this.#agreed = agreed;
    this.#lost = undefined;
    const pieces = this.#kept.take(0) ?? [];
    this.#submitted = 0;
    this.#taken = 0;
    this.#events.stateChanged();
    for (const piece of pieces) {
      if (piece.type !== "data") this[piece.type](piece.body);
      else this.message(piece.contentType === "binary" ? "binary" : "text", piece.body, piece.more);
      if (this.#isOver) return;
    }
    if (this.#close !== undefined) this.#connection.close(this.#close.code, this.#close.reason);
    this.#events.drained();
  }

  #keeperGone(): void {
    if (this.#isOver) return;
    this.#lost = { untilMs: this.#ports.nowMs() + RECONNECT_MAX_MS, pauseMs: PAUSE_MS, timer: undefined };
    // Half a message cannot be made whole, in either direction.
    if (this.#isInMessage || this.#kept.isMid || this.#kept.hasGap) this.#giveUp();
    else this.#dialAgain();
  }

  #dialAgain(): void {
    const down = Math.max(this.#connection.downPosition, this.#passedOn);
    this.#stale = this.#ungranted;
    this.#connection = this.#dial(this.#listener(), { up: this.#kept.start, down });
    this.#connection.open();
  }

  #failed(): void {
    const lost = this.#lost;
    if (lost === undefined || this.#isOver) return;
    // Limit: RECONNECT_MAX_MS
    if (this.#ports.nowMs() + lost.pauseMs > lost.untilMs) {
      this.#giveUp();
      return;
    }
    lost.timer = this.#ports.clock.setTimer(lost.pauseMs, () => this.#dialAgain());
    lost.pauseMs = Math.min(lost.pauseMs * 2, PAUSE_MAX_MS);
  }

  /** The client gets the answer to its own close, if it has sent one. */
  #giveUp(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events.close(this.#close === undefined ? SERVICE_RESTART : this.#close.code, "");
    this.#events.gone();
  }
}

function agreedOf({ headers }: HandshakeHead): string {
  return AGREED.map((name) => getAllHeaders(headers, name).join(", ")).join("\n");
}
