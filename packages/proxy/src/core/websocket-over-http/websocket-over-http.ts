import type { WheelNode } from "@pushpin/clock";
import {
  decodeWebSocketEvents,
  encodeWebSocketEvents,
  type WebSocketEvent,
} from "@pushpin/grip";
import { filterHeaders, getHeader } from "@pushpin/http";
import {
  type Bytes,
  concatBytes,
  detach,
  sliceBytes,
  toBuffer,
  toByteString,
} from "@pushpin/tnetstrings";
import { INITIAL_CREDITS, Packet, type ResponseHead } from "@pushpin/zhttp";
import { type BackendListener, HttpBackend } from "../relay/http-backend.ts";
import { addressPacket } from "../relay/http-relay.ts";
import type { RelayPorts } from "../relay/ports.ts";
import type { Target } from "../routes/route-table.ts";
import type { MessageType, SocketOrigin, SocketOriginEvents } from "../websocket/socket-ports.ts";
import type { SocketTimer, SocketTimers } from "../websocket/socket-timers.ts";
import { EventQueue } from "./event-queue.ts";

const EVENTS_TYPE = "application/websocket-events";
/** Limit: body of one response. Unit: bytes. */
export const RESPONSE_MAX_BYTES = 1_000_000;
/** Messages of the backend reach the client in pieces of this size. */
const FRAME_BYTES = 16_384;
/** Limit: bytes that wait for the client before the backend is asked again. */
export const UNDELIVERED_MAX_BYTES = 200_000;
/** Limit: attempts for a request after the first, and the pause before the first of them. */
export const RETRIES_MAX = 5;
const RETRY_PAUSE_MS = 1000;
const RETRY_JITTER_MS = 1000;
const KEEP_ALIVE_MIN_S = 20;
/** Limit: clients that are gone and whose backends are still to be told. */
export const DISCONNECTS_MAX = 10_000;

const IS_CONNECT_FAILURE = /^(?:remote-connection-failed|connection-timeout|tls-error)$/;

/** What all WebSocket-over-HTTP connections of a process have in common. */
export class OverHttpShared {
  readonly timers: SocketTimers;
  readonly random: () => number;
  /** Clients that are gone and whose backends are still to be told. */
  disconnecting = 0;

  constructor(timers: SocketTimers, random: () => number) {
    this.timers = timers;
    this.random = random;
  }
}

export interface OverHttpOptions {
  readonly shared: OverHttpShared;
  readonly target: Target;
  /** Scheme `http` or `https`. */
  readonly uri: string;
  /** The handshake's, transformed. */
  readonly headers: readonly string[];
  readonly connectionId: string;
  /** A fresh `Grip-Sig`, or empty. */
  readonly signature: () => string;
}

//   connecting ──OPEN answered──▶ open ──CLOSE sent or received, then the other──▶ over
//   open ──drop()──▶ disconnecting ──DISCONNECT answered──▶ over;   any ──failure──▶ over
type State = "connecting" | "open" | "disconnecting" | "over";

/** A WebSocket whose backend speaks HTTP: its events go and come in POSTs, one at a time (proxy.md 5B). */
export class WebSocketOverHttp implements SocketOrigin, BackendListener, SocketTimer {
  wheel?: WheelNode;
  readonly #ports: RelayPorts;
  readonly #options: OverHttpOptions;
  readonly #events: SocketOriginEvents;
  readonly #queue = new EventQueue();
  readonly #meta = new Map<string, { name: string; value: string }>();
  readonly #headers: string[];
  #state: State = "connecting";
  #request: HttpBackend | undefined;
  /** Body of the request under way, for another attempt. */
  #body: Bytes = "";
  #attempts = 0;
  #isRetrying = false;
  #head: ResponseHead | undefined;
  #pieces: Bytes[] = [];
  #pieceBytes = 0;
  #keepAliveMs = 0;
  #isRefreshWanted = false;
  /** The client's close, not yet sent; and whether the request under way holds one. */
  #close: { code: number | undefined; reason: Bytes } | undefined;
  #closeBytes = 0;
  #isCloseInRequest = false;
  #isCloseSent = false;
  #isCloseReceived = false;
  #undelivered = 0;

  constructor(ports: RelayPorts, options: OverHttpOptions, events: SocketOriginEvents) {
    this.#ports = ports;
    this.#options = options;
    this.#events = events;
    this.#headers = filterHeaders(
      [...options.headers],
      (name) =>
        name === "upgrade" ||
        name === "accept" ||
        name === "connection-id" ||
        name === "content-length" ||
        name === "content-type" ||
        name.startsWith("meta-"),
    );
  }

  get queuedBytes(): number {
    return this.#queue.bytes;
  }

  open(): void {
    this.#send([{ type: "OPEN" }]);
  }

  refresh(): void {
    this.#isRefreshWanted = true;
    this.#next();
  }

  message(type: MessageType, body: Bytes, more: boolean): void {
    if (this.#close !== undefined || this.#isCloseSent || this.#state === "over") return;
    if (this.#queue.add(type === "text" ? "TEXT" : "BINARY", detached(body), more)) this.#next();
    else this.#lost();
  }

  ping(body: Bytes): void {
    if (this.#close !== undefined || this.#isCloseSent) return;
    this.#queue.addControl("PING", detached(body));
    this.#next();
  }

  pong(body: Bytes): void {
    if (this.#close !== undefined || this.#isCloseSent) return;
    this.#queue.addControl("PONG", detached(body));
    this.#next();
  }

  close(code: number | undefined, reason: Bytes): void {
    if (this.#close !== undefined || this.#isCloseSent || this.#state === "over") return;
    this.#queue.dropPartial();
    this.#close = { code, reason: detached(reason) };
    this.#next();
  }

  drop(): void {
    if (this.#state === "over" || this.#state === "disconnecting") return;
    const { shared } = this.#options;
    const wasOpen = this.#state === "open";
    // Limit: DISCONNECTS_MAX
    if (!wasOpen || shared.disconnecting >= DISCONNECTS_MAX) {
      this.#end();
      return;
    }
    shared.disconnecting += 1;
    this.#state = "disconnecting";
    this.#isRetrying = false;
    shared.timers.cancel(this);
    if (this.#request === undefined) this.#sendDisconnect();
  }

  grant(bytes: number): void {
    this.#undelivered -= bytes;
    this.#next();
  }

  /** The pause before another attempt is over, or nothing has happened for the keep-alive interval. */
  due(): void {
    if (this.#isRetrying) {
      this.#isRetrying = false;
      this.#post();
      return;
    }
    if (this.#state === "connecting") {
      if (this.#request === undefined) this.open();
      return;
    }
    this.refresh();
  }

  // Requests

  #next(): void {
    if (this.#state !== "open" || this.#request !== undefined || this.#isRetrying) return;
    if (this.#isCloseSent && this.#isCloseReceived) return;
    const isWanted =
      this.#isRefreshWanted || this.#queue.hasNew || this.#close !== undefined;
    if (!isWanted || this.#undelivered >= UNDELIVERED_MAX_BYTES) return; // Limit: UNDELIVERED_MAX_BYTES
    this.#isRefreshWanted = false;
    const maxEvents = this.#options.target.oneEvent ? 1 : Number.POSITIVE_INFINITY;
    const events = this.#queue.take(maxEvents);
    this.#isCloseInRequest = false;
    this.#closeBytes = 0;
    if (this.#close !== undefined && this.#queue.isAllSent && events.length < maxEvents) {
      const close = closeEvent(this.#close.code, this.#close.reason);
      this.#isCloseInRequest = true;
      this.#closeBytes = close.content?.length ?? 0;
      events.push(close);
    }
    this.#send(events);
  }

  #sendDisconnect(): void {
    this.#send([{ type: "DISCONNECT" }]);
  }

  #send(events: readonly WebSocketEvent[]): void {
    this.#attempts = 0;
    this.#body = events.length === 0 ? "" : encodeWebSocketEvents(events);
    this.#options.shared.timers.cancel(this);
    this.#post();
  }

  #post(): void {
    const { target, uri, connectionId } = this.#options;
    const headers = this.#signed();
    headers.push("Accept", EVENTS_TYPE, "Connection-Id", connectionId);
    headers.push("Content-Type", EVENTS_TYPE, "Content-Length", String(this.#body.length));
    if (this.#queue.replayedBytes > 0)
      headers.push("Content-Bytes-Replayed", String(this.#queue.replayedBytes));
    for (const { name, value } of this.#meta.values()) headers.push(`Meta-${name}`, value);
    const first = new Packet();
    first.method = "POST";
    first.uri = uri;
    first.headers = headers;
    first.body = this.#body;
    addressPacket(first, target);
    this.#head = undefined;
    this.#pieces = [];
    this.#pieceBytes = 0;
    const session = this.#ports.openBackend("http", INITIAL_CREDITS, target);
    this.#request = new HttpBackend(this.#ports, session, this);
    session.open(first);
    this.#ports.pump(session);
  }

  #signed(): string[] {
    const headers = [...this.#headers];
    for (let i = 0; i < headers.length; i += 2)
      if (/^grip-sig$/i.test(headers[i] as string)) headers[i + 1] = this.#options.signature();
    return headers;
  }

  // Responses

  backendData(packet: Packet): void {
    const { body, more } = packet;
    if (this.#head === undefined) {
      const { code = 0, reason, headers = [] } = packet;
      this.#head = { code, reason: detach(reason), headers: headers.map(detach) };
    }
    if (body.length > 0) this.#pieces.push(detached(body));
    this.#pieceBytes += body.length;
    // Limit: RESPONSE_MAX_BYTES
    if (this.#pieceBytes > RESPONSE_MAX_BYTES) {
      this.#failed("too large");
      return;
    }
    if (more) {
      this.#request?.session.grant(body.length);
      return;
    }
    this.#request?.drop();
    this.#request = undefined;
    const head = this.#head;
    this.#attempts = 0;
    this.#answered(head, concatBytes(this.#pieces));
    this.#pieces = [];
  }

  backendCredits(): void {}

  backendFailed(condition: string): void {
    const isHandedOver = (this.#request?.session.peer ?? "") !== "";
    this.#request = undefined;
    if (this.#state === "over") return;
    const mayRepeat =
      IS_CONNECT_FAILURE.test(condition) ||
      (!isHandedOver && condition !== "policy-violation" && condition !== "bad-request");
    if (this.#state === "connecting" || !mayRepeat || this.#attempts >= RETRIES_MAX) {
      this.#failed(condition);
      return;
    }
    const { timers, random } = this.#options.shared;
    const pauseMs =
      RETRY_PAUSE_MS * 2 ** this.#attempts + Math.floor(random() * RETRY_JITTER_MS);
    this.#attempts += 1;
    this.#isRetrying = true;
    timers.schedule(this, this.#ports.nowMs() + pauseMs);
  }

  #answered(head: ResponseHead, body: Bytes): void {
    if (this.#state === "disconnecting") {
      this.#disconnected(toByteString(sliceBytes(toBuffer(this.#body), 0, 10)) !== "DISCONNECT");
      return;
    }
    const type = getHeader(head.headers, "content-type");
    if (head.code !== 200 || type !== EVENTS_TYPE) {
      if (this.#state === "connecting") this.#rejected(head, body);
      else this.#lost();
      return;
    }
    const events = decodeWebSocketEvents(body);
    if (!events.ok) {
      this.#failed(events.error);
      return;
    }
    this.#readHeaders(head.headers);
    if (this.#state === "connecting" && !this.#opened(head, events.value)) return;
    if (!this.#accepted(head.headers)) {
      this.#lost();
      return;
    }
    this.#deliver(events.value);
    this.#afterResponse();
  }

  /** What was on its way when the client went away has arrived; now the backend is told. */
  #disconnected(isBefore: boolean): void {
    if (isBefore) this.#sendDisconnect();
    else this.#end();
  }

  /** True if the connection is open now. */
  #opened(head: ResponseHead, events: readonly WebSocketEvent[]): boolean {
    if (events.length === 0 && this.#keepAliveMs > 0) {
      this.#scheduleKeepAlive();
      return false;
    }
    if (events[0]?.type !== "OPEN") {
      this.#failed("no OPEN");
      return false;
    }
    this.#state = "open";
    const headers = filterHeaders(
      head.headers,
      (name) =>
        name === "content-length" ||
        name === "content-type" ||
        name === "transfer-encoding" ||
        name === "connection" ||
        name === "keep-alive-interval" ||
        name === "content-bytes-accepted" ||
        name.startsWith("set-meta-"),
    );
    this.#events.opened({ code: 101, reason: "Switching Protocols", headers });
    return true;
  }

  #readHeaders(headers: readonly string[]): void {
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i] as string;
      const lower = name.toLowerCase();
      const value = headers[i + 1] as string;
      if (lower === "keep-alive-interval") {
        const seconds = /^\d{1,9}$/.test(value) ? Number(value) : 0;
        this.#keepAliveMs = seconds > 0 ? Math.max(seconds, KEEP_ALIVE_MIN_S) * 1000 : 0;
      } else if (lower.startsWith("set-meta-")) {
        const meta = name.slice("set-meta-".length);
        if (value === "") this.#meta.delete(meta.toLowerCase());
        else this.#meta.set(meta.toLowerCase(), { name: meta, value });
      }
    }
  }

  /** Takes off the queue what the backend has accepted; false if it says nonsense (proxy.md 5B.5). */
  #accepted(headers: readonly string[]): boolean {
    const { sentBytes } = this.#queue;
    const given = getHeader(headers, "content-bytes-accepted");
    let accepted = sentBytes + this.#closeBytes;
    if (given !== undefined) {
      if (!/^\d{1,15}$/.test(given)) return false;
      accepted = Number(given);
    }
    if (accepted > sentBytes + this.#closeBytes) return false;
    const isAll = accepted >= sentBytes;
    if (!this.#queue.accept(Math.min(accepted, sentBytes))) return false;
    if (this.#isCloseInRequest && isAll) {
      if (accepted < sentBytes + this.#closeBytes) return false;
      this.#isCloseSent = true;
      this.#close = undefined;
    }
    if (sentBytes > 0) this.#events.drained();
    return true;
  }

  #deliver(events: readonly WebSocketEvent[]): void {
    let isFirst = this.#isOpening(events);
    for (const { type, content = "" } of events) {
      if (this.#state !== "open") return;
      switch (type) {
        case "OPEN":
          if (!isFirst) {
            this.#lost();
            return;
          }
          isFirst = false;
          break;
        case "TEXT":
        case "BINARY":
          if (!this.#isCloseReceived) this.#received(type === "TEXT" ? "text" : "binary", content);
          break;
        case "PING":
          this.#undelivered += content.length;
          this.#events.ping(content);
          break;
        case "PONG":
          this.#undelivered += content.length;
          this.#events.pong(content);
          break;
        case "CLOSE":
          this.#closeReceived(content);
          break;
        case "DISCONNECT":
          this.#end();
          this.#events.gone();
          return;
        default:
      }
    }
  }

  /** Whether these are the events of the response that opened the connection. */
  #isOpening(events: readonly WebSocketEvent[]): boolean {
    return events[0]?.type === "OPEN" && toByteString(sliceBytes(this.#body, 0, 4)) === "OPEN";
  }

  #received(type: MessageType, content: Bytes): void {
    this.#undelivered += content.length;
    let at = 0;
    do {
      const end = Math.min(at + FRAME_BYTES, content.length);
      this.#events.message(type, sliceBytes(content, at, end), end < content.length);
      at = end;
    } while (at < content.length && this.#state === "open");
  }

  #closeReceived(content: Bytes): void {
    if (this.#isCloseReceived) return;
    this.#isCloseReceived = true;
    const bytes = toBuffer(content);
    const code = bytes.length >= 2 ? bytes.readUInt16BE(0) : 0;
    this.#events.close(code === 0 ? undefined : code, sliceBytes(content, Math.min(2, content.length)));
  }

  #afterResponse(): void {
    if (this.#state !== "open") return;
    if (this.#isCloseSent && (this.#isCloseReceived || this.#keepAliveMs === 0)) {
      this.#end();
      this.#events.gone();
      return;
    }
    this.#next();
    if (this.#request === undefined && !this.#isRetrying) this.#scheduleKeepAlive();
  }

  #scheduleKeepAlive(): void {
    if (this.#keepAliveMs <= 0) return;
    this.#options.shared.timers.schedule(this, this.#ports.nowMs() + this.#keepAliveMs);
  }

  // Failures

  #rejected(head: ResponseHead, body: Bytes): void {
    this.#end();
    const headers = filterHeaders(
      head.headers,
      (name) => name === "connection" || name === "keep-alive" || name === "transfer-encoding",
    );
    this.#events.rejected({ ...head, headers }, body);
  }

  #failed(condition: string): void {
    if (this.#state !== "connecting") {
      this.#lost();
      return;
    }
    this.#end();
    this.#events.failed(condition);
  }

  /** The client is dropped, the backend is told nothing more. */
  #lost(): void {
    if (this.#state === "over") return;
    const wasDisconnecting = this.#state === "disconnecting";
    this.#end();
    if (!wasDisconnecting) this.#events.gone();
  }

  #end(): void {
    if (this.#state === "over") return;
    if (this.#state === "disconnecting") this.#options.shared.disconnecting -= 1;
    this.#state = "over";
    this.#options.shared.timers.cancel(this);
    const request = this.#request;
    this.#request = undefined;
    request?.drop();
  }
}

function closeEvent(code: number | undefined, reason: Bytes): WebSocketEvent {
  if (code === undefined) return { type: "CLOSE" };
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return { type: "CLOSE", content: concatBytes([head, reason]) };
}

/** Bytes that stay when the packet they came in is gone. */
function detached(body: Bytes): Bytes {
  return typeof body === "string" ? detach(body) : body;
}
