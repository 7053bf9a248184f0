import type { WheelNode } from "@pushpin/clock";
import { decodeWebSocketEvents, encodeWebSocketEvents, type WebSocketEvent } from "@pushpin/grip";
import { filterHeaders, getHeader } from "@pushpin/http";
import { type Bytes, concatBytes, detached, sliceBytes, toBuffer } from "@pushpin/tnetstrings";
import { PEER_RESTARTED, type ResponseHead } from "@pushpin/zhttp";
import type { RelayPorts } from "../relay/ports.ts";
import type { Target } from "../routes/route-table.ts";
import type { MessageType, SocketOrigin, SocketOriginEvents } from "../websocket/socket-ports.ts";
import type { SocketTimer, SocketTimers } from "../websocket/socket-timers.ts";
import type { OverHttpState } from "../websocket/socket-anchor.ts";
import { BackgroundDisconnects, type Disconnecting } from "./background-disconnects.ts";
import { EventQueue } from "./event-queue.ts";
import { EventsRequest, type RequestListener } from "./events-request.ts";
import { MetaItems } from "./meta-items.ts";

const EVENTS_TYPE = "application/websocket-events";
/** Messages of the backend reach the client in pieces of this size. */
export const FRAME_BYTES = 16_384;
/** Limit: bytes that wait for the client before the backend is asked again. */
export const UNDELIVERED_MAX_BYTES = 200_000;
/** Limit: attempts for a request after the first, and the pause before the first of them. */
export const RETRIES_MAX = 5;
const RETRY_PAUSE_MS = 1000;
const RETRY_JITTER_MS = 1000;
const KEEP_ALIVE_MIN_S = 20;

const IS_CONNECT_FAILURE = /^(?:remote-connection-failed|connection-timeout|tls-error)$/;
/** These say nothing about the request itself: it may be sent again if nobody has seen it. */
const IS_GENERIC_FAILURE = /^(?:undefined-condition|disconnected|session-timeout|expired)$/;

/** What all WebSocket-over-HTTP connections of a process have in common. */
export class OverHttpShared {
  readonly timers: SocketTimers;
  readonly random: () => number;
  /** A successor of this process will go on: no new requests. */
  isLeaving = false;
  /** Clients that are gone and whose backends are still to be told. */
  readonly disconnects = new BackgroundDisconnects();

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

//   connecting ──OPEN answered──▶ open ──CLOSE sent and received──▶ over
//   open ──drop()──▶ disconnecting ──CLOSE or DISCONNECT answered──▶ over;   any ──failure──▶ over
type State = "connecting" | "open" | "disconnecting" | "over";

/** What the timer is set for. The first two hold back every other request. */
type Wait = "retry" | "close" | "keep-alive" | undefined;

/** A WebSocket whose backend speaks HTTP: its events go and come in POSTs, one at a time (proxy.md 5B). */
export class WebSocketOverHttp
  implements SocketOrigin, SocketTimer, RequestListener, Disconnecting
{
  wheel?: WheelNode;
  readonly #ports: RelayPorts;
  readonly #options: OverHttpOptions;
  readonly #events: SocketOriginEvents;
  readonly #queue = new EventQueue();
  readonly #meta = new MetaItems();
  readonly #headers: string[];
  #state: State = "connecting";
  #request: EventsRequest | undefined;
  #kind: "open" | "events" | "disconnect" = "open";
  /** Body of the request under way, for another attempt. */
  #body: Bytes = "";
  #attempts = 0;
  #wait: Wait;
  /** Meta items or the keep-alive interval have changed with this response. */
  #isStateChanged = false;
  /** A response is being read: what its events cause must wait until all of them are. */
  #isReading = false;
  #keepAliveMs = 0;
  #isRefreshWanted = false;
  /** The client's close, as long as the backend has not accepted it. */
  #close: { readonly code: number | undefined; readonly reason: Bytes } | undefined;
  /** Content of the close in the request under way; undefined: there is none. */
  #closeBytes: number | undefined;
  /** Times in a row that a request with the close got nothing accepted. */
  #stalls = 0;
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
        name.startsWith("content-bytes-") ||
        name.startsWith("meta-"),
    );
  }

  get queuedBytes(): number {
    return this.#queue.bytes;
  }

  open(): void {
    this.#send("open", [{ type: "OPEN" }]);
  }

  get state(): OverHttpState {
    return { meta: this.#meta.list(), keepAliveMs: this.#keepAliveMs };
  }

  /** Goes on with a connection that another process has opened. */
  resume({ meta, keepAliveMs }: OverHttpState): void {
    for (let i = 0; i + 1 < meta.length; i += 2)
      this.#meta.set(meta[i] as string, meta[i + 1] as string);
    this.#state = "open";
    this.#keepAliveMs = keepAliveMs;
    // Not all at once: a process that starts may have thousands of them.
    if (keepAliveMs > 0)
      this.#setTimer("keep-alive", Math.floor(this.#options.shared.random() * keepAliveMs));
  }

  refresh(): void {
    this.#isRefreshWanted = true;
    this.#next();
  }

  message(type: MessageType, body: Bytes, more: boolean): void {
    if (!this.#takesMessages()) return;
    const isTaken = this.#queue.add(type === "text" ? "TEXT" : "BINARY", detached(body), more);
    this.#queued(isTaken);
  }

  ping(body: Bytes): void {
    if (this.#takesMessages()) this.#queued(this.#queue.addControl("PING", detached(body)));
  }

  pong(body: Bytes): void {
    if (this.#takesMessages()) this.#queued(this.#queue.addControl("PONG", detached(body)));
  }

  close(code: number | undefined, reason: Bytes): void {
    if (!this.#takesMessages()) return;
    this.#queue.dropPartial();
    this.#close = { code, reason: detached(reason) };
    this.#next();
  }

  drop(): void {
    if (this.#state === "over" || this.#state === "disconnecting") return;
    if (this.#state === "connecting") {
      this.#end();
      return;
    }
    if (!this.#options.shared.disconnects.add(this)) {
      this.#ports.log.warn("too many backends to be told of lost clients, one is not", {
        cid: this.#options.connectionId,
      });
      this.#end();
      return;
    }
    this.#state = "disconnecting";
    if (this.#request !== undefined || this.#isReading || this.#wait === "retry") return;
    this.#disconnect();
  }

  giveUp(): void {
    this.#end();
  }

  grant(bytes: number): void {
    this.#undelivered -= bytes;
    this.#next();
  }

  due(): void {
    const wait = this.#wait;
    this.#wait = undefined;
    if (wait === "retry") this.#post();
    else if (wait === "close") this.#next();
    else if (this.#state === "connecting") this.open();
    else this.refresh();
  }

  #takesMessages(): boolean {
    const isOpen = this.#state === "open" || this.#state === "connecting";
    return isOpen && this.#close === undefined && !this.#isCloseSent;
  }

  #queued(isTaken: boolean): void {
    if (isTaken) this.#next();
    else this.#lost("client sent more than its window");
  }

  // Requests

  #next(): void {
    if (this.#state !== "open" || this.#request !== undefined || this.#isReading) return;
    if (this.#options.shared.isLeaving) return;
    if (this.#wait === "retry" || this.#wait === "close") return;
    // A backend that has closed is told the client's close and nothing before it.
    if (this.#isCloseReceived && this.#close === undefined) return;
    if (this.#close === undefined) {
      if (!this.#isRefreshWanted && !this.#queue.hasNew) {
        if (this.#queue.isStuck) this.#lost("no room for a message, too much is not accepted");
        return;
      }
      if (this.#undelivered >= UNDELIVERED_MAX_BYTES) return; // Limit: UNDELIVERED_MAX_BYTES
    }
    this.#sendQueued();
  }

  #sendQueued(): void {
    this.#isRefreshWanted = false;
    const maxEvents = this.#options.target.oneEvent ? 1 : Number.POSITIVE_INFINITY;
    const events = this.#queue.take(maxEvents);
    this.#closeBytes = undefined;
    if (this.#close !== undefined && this.#queue.isAllSent && events.length < maxEvents) {
      const close = closeEvent(this.#close.code, this.#close.reason);
      this.#closeBytes = close.content?.length ?? 0;
      events.push(close);
    }
    this.#send("events", events);
  }

  /** Tells the backend that the client is gone, by its close if it sent one before. */
  #disconnect(): void {
    if (this.#isCloseSent) this.#end();
    else if (this.#close !== undefined) this.#sendQueued();
    else this.#send("disconnect", [{ type: "DISCONNECT" }]);
  }

  #send(kind: "open" | "events" | "disconnect", events: readonly WebSocketEvent[]): void {
    this.#kind = kind;
    this.#attempts = 0;
    this.#body = events.length === 0 ? "" : encodeWebSocketEvents(events);
    this.#cancelTimer();
    this.#post();
  }

  #post(): void {
    const { target, uri, connectionId } = this.#options;
    const headers = this.#signed();
    headers.push("Accept", EVENTS_TYPE, "Connection-Id", connectionId);
    headers.push("Content-Type", EVENTS_TYPE, "Content-Length", String(this.#body.length));
    if (this.#kind === "events" && this.#queue.replayedBytes > 0)
      headers.push("Content-Bytes-Replayed", String(this.#queue.replayedBytes));
    this.#meta.addTo(headers);
    this.#request = new EventsRequest(this.#ports, this);
    this.#request.start(target, uri, headers, this.#body);
  }

  /** The handshake's headers with a fresh signature, where it had one. */
  #signed(): string[] {
    const headers: string[] = [];
    for (let i = 0; i + 1 < this.#headers.length; i += 2) {
      const name = this.#headers[i] as string;
      const isSignature = /^grip-sig$/i.test(name);
      const value = isSignature ? this.#options.signature() : (this.#headers[i + 1] as string);
      if (!isSignature || value !== "") headers.push(name, value);
    }
    return headers;
  }

  // Responses

  answered(head: ResponseHead, body: Bytes): void {
    this.#request = undefined;
    this.#body = "";
    this.#attempts = 0;
    if (this.#kind === "disconnect") {
      this.#end(); // whatever the answer is
      return;
    }
    if (head.code !== 200 || getHeader(head.headers, "content-type") !== EVENTS_TYPE) {
      if (this.#state === "connecting") this.#rejected(head, body);
      else this.#lost(`answered ${head.code}, or no events`);
      return;
    }
    const events = decodeWebSocketEvents(body);
    if (!events.ok) {
      this.#failed(events.error, "undefined-condition");
      return;
    }
    if (!this.#readHeaders(head.headers)) {
      this.#failed("too many meta items", "undefined-condition");
      return;
    }
    if (this.#state === "open" && this.#isStateChanged) this.#events.stateChanged();
    this.#isStateChanged = false;
    this.#isReading = true;
    const isRead = this.#read(head, events.value);
    this.#isReading = false;
    if (isRead) this.#afterResponse();
  }

  failed(condition: string, wasHandedOver: boolean): void {
    this.#request = undefined;
    if (condition === PEER_RESTARTED && this.#attempts < RETRIES_MAX) {
      this.#attempts += 1;
      this.#post();
      return;
    }
    const mayRepeat =
      IS_CONNECT_FAILURE.test(condition) || (!wasHandedOver && IS_GENERIC_FAILURE.test(condition));
    if (this.#state === "connecting" || !mayRepeat || this.#attempts >= RETRIES_MAX) {
      this.#failed(condition, condition);
      return;
    }
    this.#pause("retry", this.#attempts);
    this.#attempts += 1;
  }

  /** False if nothing more is to be done. */
  #read(head: ResponseHead, events: readonly WebSocketEvent[]): boolean {
    const isOpening = this.#kind === "open";
    if (isOpening && !this.#opened(head, events)) return false;
    if (!this.#accepted(head.headers)) {
      this.#lost("accepted bytes do not fit what was sent");
      return false;
    }
    let isFirst = isOpening;
    for (const { type, content = "" } of events) {
      if (type === "OPEN" && !isFirst) {
        this.#lost("OPEN while open");
        return false;
      }
      isFirst = false;
      if (type === "DISCONNECT") {
        this.#lost("DISCONNECT");
        return false;
      }
      // A client that went away meanwhile is told nothing more.
      if (this.#state === "open" && !this.#isCloseReceived) this.#deliver(type, content);
    }
    return true;
  }

  /** True if the connection is open now. */
  #opened(head: ResponseHead, events: readonly WebSocketEvent[]): boolean {
    if (events.length === 0 && this.#keepAliveMs > 0) {
      this.#setTimer("keep-alive", this.#keepAliveMs);
      return false;
    }
    if (events[0]?.type !== "OPEN") {
      this.#failed("no OPEN", "undefined-condition");
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

  /** False if the backend wants more kept than there is room for. */
  #readHeaders(headers: readonly string[]): boolean {
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i] as string;
      const lower = name.toLowerCase();
      const value = headers[i + 1] as string;
      if (lower === "keep-alive-interval") {
        const seconds = /^\d{1,9}$/.test(value) ? Number(value) : 0;
        const ms = seconds > 0 ? Math.max(seconds, KEEP_ALIVE_MIN_S) * 1000 : 0;
        if (ms !== this.#keepAliveMs) this.#isStateChanged = true;
        this.#keepAliveMs = ms;
      } else if (lower.startsWith("set-meta-")) {
        this.#isStateChanged = true;
        if (!this.#meta.set(name.slice("set-meta-".length), value)) return false;
      }
    }
    return true;
  }

  /** Takes off the queue what the backend has accepted; false if it says nonsense (proxy.md 5B.5). */
  #accepted(headers: readonly string[]): boolean {
    if (this.#kind === "open") return true;
    const { sentBytes } = this.#queue;
    const closeBytes = this.#closeBytes ?? 0;
    const given = getHeader(headers, "content-bytes-accepted");
    if (given !== undefined && !/^\d{1,15}$/.test(given)) return false;
    const accepted = given === undefined ? sentBytes + closeBytes : Number(given);
    if (accepted > sentBytes + closeBytes) return false;
    if (!this.#queue.accept(Math.min(accepted, sentBytes))) return false;
    if (this.#closeBytes !== undefined) {
      this.#stalls = accepted === 0 && sentBytes > 0 ? this.#stalls + 1 : 0;
      if (this.#stalls > RETRIES_MAX) return false; // Limit: RETRIES_MAX
      if (accepted >= sentBytes) {
        if (accepted < sentBytes + closeBytes) return false;
        this.#isCloseSent = true;
        this.#close = undefined;
      }
    }
    if (sentBytes > 0 && this.#state === "open") this.#events.drained();
    return true;
  }

  #deliver(type: string, content: Bytes): void {
    switch (type) {
      case "TEXT":
      case "BINARY":
        this.#received(type === "TEXT" ? "text" : "binary", content);
        return;
      case "PING":
        this.#undelivered += content.length;
        this.#events.ping(content);
        return;
      case "PONG":
        this.#undelivered += content.length;
        this.#events.pong(content);
        return;
      case "CLOSE": {
        this.#isCloseReceived = true;
        const bytes = toBuffer(content);
        const code = bytes.length >= 2 ? bytes.readUInt16BE(0) : 0;
        // Libraries send the code 0 where they mean none.
        this.#events.close(code === 0 ? undefined : code, sliceBytes(content, 2));
        return;
      }
      default:
    }
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

  #afterResponse(): void {
    if (this.#state === "disconnecting") {
      if (this.#stalls > 0) this.#end();
      else this.#disconnect();
      return;
    }
    if (this.#state !== "open") return;
    if (this.#isCloseSent && (this.#isCloseReceived || this.#keepAliveMs === 0)) {
      this.#end();
      this.#events.gone();
      return;
    }
    if (this.#close !== undefined && this.#stalls > 0) {
      this.#pause("close", this.#stalls - 1);
      return;
    }
    this.#next();
    if (this.#request !== undefined || this.#isCloseReceived || this.#keepAliveMs === 0) return;
    if (this.#state === "open") this.#setTimer("keep-alive", this.#keepAliveMs);
  }

  // Time

  /** Waits before the attempt of this number, from 0. */
  #pause(wait: "retry" | "close", attempt: number): void {
    const jitterMs = Math.floor(this.#options.shared.random() * RETRY_JITTER_MS);
    this.#setTimer(wait, RETRY_PAUSE_MS * 2 ** attempt + jitterMs);
  }

  #setTimer(wait: Wait, delayMs: number): void {
    this.#wait = wait;
    this.#options.shared.timers.schedule(this, this.#ports.nowMs() + delayMs);
  }

  #cancelTimer(): void {
    this.#wait = undefined;
    this.#options.shared.timers.cancel(this);
  }

  // End

  #rejected(head: ResponseHead, body: Bytes): void {
    this.#end();
    const headers = filterHeaders(
      head.headers,
      (name) => name === "connection" || name === "keep-alive" || name === "transfer-encoding",
    );
    this.#events.rejected({ ...head, headers }, body);
  }

  #failed(reason: string, condition: string): void {
    if (this.#state !== "connecting") {
      this.#lost(reason);
      return;
    }
    this.#debug(reason);
    this.#end();
    this.#events.failed(condition);
  }

  /** The client is dropped, the backend is told nothing more. */
  #lost(reason: string): void {
    if (this.#state === "over") return;
    this.#debug(reason);
    const hasClient = this.#state !== "disconnecting";
    this.#end();
    if (hasClient) this.#events.gone();
  }

  #debug(reason: string): void {
    const { log } = this.#ports;
    const { connectionId, uri } = this.#options;
    if (log.isDebug) log.debug("events over HTTP ended", { cid: connectionId, uri, reason });
  }

  #end(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#cancelTimer();
    this.#body = "";
    const request = this.#request;
    this.#request = undefined;
    request?.cancel();
    this.#options.shared.disconnects.remove(this);
  }
}

function closeEvent(code: number | undefined, reason: Bytes): WebSocketEvent {
  // What fits into no close frame is no code.
  if (code === undefined || !(code > 0 && code <= 0xffff)) return { type: "CLOSE" };
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return { type: "CLOSE", content: concatBytes([head, reason]) };
}
