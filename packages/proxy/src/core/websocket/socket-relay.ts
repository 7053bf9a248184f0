import { type GripExtension, parseGripExtension } from "@pushpin/grip";
import { filterHeaders, getAllHeaders, reasonPhrase } from "@pushpin/http";
import { type Bytes, sliceBytes, toByteString } from "@pushpin/tnetstrings";
import {
  type FanOut,
  INITIAL_CREDITS,
  PEER_RESTARTED,
  type Resumable,
  type ResumePoint,
} from "@pushpin/zhttp";
import type { ControlItem } from "@pushpin/zrpc";
import { RESTARTS_MAX } from "../relay/http-relay.ts";
import type { RelayPorts } from "../relay/ports.ts";
import type { Route, Target } from "../routes/route-table.ts";
import type { ByteCounter } from "../stats-port.ts";
import { headerBytes, requestHeaderBytes } from "../traffic.ts";
import { KeepAliveTimer } from "./keep-alive-timer.ts";
import type { Controlled, ControlSession, ControlSessions } from "./control-sessions.ts";
import { ConfirmedGrants } from "./confirmed-grants.ts";
import { MessageGate } from "./message-gate.ts";
import { encodeSocketAnchor, type HeldSocket, type SocketAnchor } from "./socket-anchor.ts";
import type {
  HandshakeHead,
  MessageType,
  SocketClient,
  SocketClientEvents,
  SocketOrigin,
  SocketOriginEvents,
} from "./socket-ports.ts";
import type { SocketTimers } from "./socket-timers.ts";
import { ZwsClient } from "./zws-client.ts";

/** Limit: body of a refused handshake that is passed on. Unit: bytes. */
export const REJECTION_MAX_BYTES = 100_000;
/** Limit: bytes of published messages that wait for a client; one that falls behind is closed. */
export const CLIENT_QUEUE_MAX_BYTES = 1_000_000;
/** Limit: commands of the handler that wait for the end of a fragmented message. */
export const HELD_COMMANDS_MAX = 1000;

const POLICY_VIOLATION = 1008;
const PROXY_ERROR = "Error while proxying to origin.\n";
const IS_CONNECT_FAILURE = /^(?:remote-connection-failed|connection-timeout|tls-error)$/;

export interface SocketRequest {
  /** Absolute, `ws` or `wss`. */
  readonly uri: string;
  readonly headers: string[];
  readonly route: Route | undefined;
  readonly peerAddress: string;
  readonly logicalAddress: string;
  readonly isTrusted: boolean;
  readonly debug: boolean;
  /** A fresh UUID: the client's WebSocket in statistics, ws-control and WebSocket-over-HTTP. */
  readonly connectionId: string;
}

export interface SocketPorts extends RelayPorts {
  readonly control: ControlSessions;
  readonly timers: SocketTimers;
  /** The backend's side for this target; undefined where the path edits leave no valid path. */
  openOrigin(
    target: Target,
    request: SocketRequest,
    events: SocketOriginEvents,
  ): SocketOrigin | undefined;
  socketOpened(relay: SocketRelay): void;
  socketClosed(relay: SocketRelay): void;
}

/** A client's WebSocket and its backend: messages, GRIP, and the handler's commands. */
export class SocketRelay implements Controlled {
  readonly request: SocketRequest;
  readonly statsRoute: string;
  /** What the client's side reports. */
  readonly clientEvents: SocketClientEvents;
  /** Frames have passed since this was last set to false (statistics). */
  wasActive = false;
  readonly #ports: SocketPorts;
  #client: SocketClient | undefined;
  #origin: SocketOrigin | undefined;
  #target: Target | undefined;
  #targetIndex = -1;
  #restarts = 0;
  #isOpen = false;
  #isOver = false;
  #isDetached = false;
  /** A close has gone to this side. */
  #isClientClosed = false;
  #isOriginClosed = false;
  /** Decides what the backend's messages mean; absent: they pass as they are. */
  #gate: MessageGate | undefined;
  #control: ControlSession | undefined;
  #keepAlive: KeepAliveTimer | undefined;
  #keepAliveSetup: SocketAnchor["keepAlive"];
  /** A message of the backend is only half sent to the client. */
  #isInMessage = false;
  #heldBack: ControlItem[] | undefined;
  /** The backend's connection, where the HTTP client keeps it for a successor. */
  #held: HeldSocket | undefined;
  #ungrantedUp = 0;
  #ungrantedDown = 0;
  /** Somebody else can go on with both sides: the backend gets credits for what the client's has. */
  #grants: ConfirmedGrants | undefined;
  /** There is, or will be, something of this WebSocket at the handler. */
  #hasControl = false;

  constructor(ports: SocketPorts, request: SocketRequest) {
    this.#ports = ports;
    this.request = request;
    const { route } = request;
    this.statsRoute = route?.hasExplicitId ? route.id : "";
    this.clientEvents = {
      message: (type, body, more) => this.#fromClient(type, body, more),
      ping: (body) => this.#pingFromClient(body),
      pong: (body) => this.#pongFromClient(body),
      close: (code, reason) => this.#closedByClient(code, reason),
      drained: () => this.#grantDown(),
      gone: () => this.#clientGone(),
    };
  }

  start(client: SocketClient): void {
    this.#client = client;
    this.#ports.socketOpened(this);
    if (this.request.route === undefined) this.#refuse(502, "Route not found\n");
    else this.#nextTarget();
  }

  /** Ends both sides at once; for shutdown. */
  shutdown(code: number): void {
    this.#client?.close(code, "");
    this.#origin?.drop();
  }

  /** Counts one more active period, if frames have passed. */
  countActivity(): void {
    if (!this.wasActive || !this.#isOpen) return;
    this.wasActive = false;
    this.#ports.stats.activity(this.statsRoute, 1);
  }

  // Takeover

  /**
   * Goes on with a WebSocket of a proxy that is gone; false if there is no way to its backend any
   * more. `marks`: the handler's last packets that reached the client, by proxy; `point`: where its
   * messages stand.
   */
  resume(
    client: SocketClient,
    anchor: SocketAnchor,
    { marks, point }: Partial<Resumable>,
  ): boolean {
    const target = this.request.route?.targets.find((one) => one.label === anchor.target);
    if (target === undefined || target.overHttp !== (anchor.held === undefined)) return false;
    if (anchor.held !== undefined && point === undefined) return false;
    const isNeeded = !anchor.isDetached || target.overHttp;
    const origin = isNeeded
      ? this.#ports.openOrigin(target, this.request, this.#originEvents())
      : undefined;
    if (!anchor.isDetached && origin === undefined) return false;
    this.#client = client;
    this.#target = target;
    this.#origin = origin;
    this.#isOpen = true;
    this.#isDetached = anchor.isDetached;
    if (anchor.gate !== undefined) this.#gate = new MessageGate(anchor.gate);
    this.#ports.socketOpened(this);
    this.#announce();
    this.#hasControl = anchor.hasControl;
    if (anchor.hasControl) this.#joinHandler(anchor.control, marks);
    if (anchor.keepAlive !== undefined) this.#startKeepAlive(anchor.keepAlive, this.#ports.nowMs());
    if (anchor.isDetached) {
      this.#origin = undefined;
      this.#held = anchor.held;
    } else this.#continueOrigin(anchor, point);
    this.#anchor();
    return true;
  }

  #continueOrigin({ held, origin: state }: SocketAnchor, point: ResumePoint | undefined): void {
    if (held === undefined || point === undefined) {
      this.#origin?.resume?.(state);
      return;
    }
    this.#held = held;
    this.#grants = new ConfirmedGrants();
    this.#origin?.reclaim?.(held, point);
  }

  /** Tells the connection manager what a successor of this process needs; rides on the next packet. */
  #anchor(): void {
    const keeper = this.#client?.keeper;
    const target = this.#target;
    if (keeper?.takesAnchors !== true || target === undefined) return;
    if (!target.overHttp && this.#held === undefined) return;
    // A close of the client's goes to a successor like its messages do.
    keeper.anchor(
      this.#isClientClosed
        ? ""
        : encodeSocketAnchor({
            request: this.request,
            route: this.request.route?.id,
            isFramed: this.#client?.isFramed ?? false,
            target: target.label,
            gate: this.#gate?.prefix,
            isDetached: this.#isDetached,
            hasControl: this.#hasControl,
            control: this.#control?.anchor,
            keepAlive: this.#keepAliveSetup,
            origin: this.#origin?.state ?? { meta: [], keepAliveMs: 0 },
            held: this.#held,
          }),
    );
  }

  /** As `#anchor`, for when nothing else is on its way to the client. */
  anchorChanged(): void {
    if (!this.#isOpen || this.#isOver) return;
    this.#anchor();
    this.#client?.keeper?.sendAnchor();
  }

  // Handshake

  #nextTarget(): void {
    const { request } = this;
    const route = request.route as Route;
    this.#targetIndex += 1;
    const target = route.targets[this.#targetIndex];
    if (target === undefined) {
      const tried = route.targets.map((one) => one.label).join(", ");
      this.#refuse(502, PROXY_ERROR, `Unable to connect to any targets. Tried: ${tried}\n`);
      return;
    }
    this.#target = target;
    if (target.kind === "zhttpreq" && !target.overHttp) {
      this.#refuse(502, PROXY_ERROR, "WebSockets cannot be used with zhttpreq target\n");
      return;
    }
    const origin = this.#ports.openOrigin(target, request, this.#originEvents());
    if (origin === undefined) {
      this.#refuse(502, PROXY_ERROR);
      return;
    }
    this.#origin = origin;
    origin.open();
  }

  #originEvents(): SocketOriginEvents {
    return {
      opened: (head) => this.#opened(head),
      rejected: (head, body) => this.#rejected(head, body),
      failed: (condition) => this.#failed(condition),
      message: (type, body, more, at) => this.#fromOrigin(type, body, more, at),
      ping: (body, at) => this.#pingFromOrigin(body, at),
      pong: (body, at) => this.#pongFromOrigin(body, at),
      inMidMessage: (isPassed) => {
        this.#gate?.inMidMessage(isPassed);
        this.#isInMessage = isPassed;
      },
      close: (code, reason) => this.#closedByOrigin(code, reason),
      drained: () => this.#grantUp(),
      gone: () => this.#originGone(),
      stateChanged: () => {
        this.#held = this.#origin?.held ?? this.#held;
        this.anchorChanged();
      },
    };
  }

  #opened(head: HandshakeHead): void {
    if (this.#isOver) return;
    this.#isOpen = true;
    const { request } = this;
    const route = request.route as Route;
    const grip = parseGripExtension(getAllHeaders(head.headers, "sec-websocket-extensions"));
    const isVerbatim = request.isTrusted || route.noGrip;
    if (grip !== undefined && !isVerbatim) this.#gate = new MessageGate(grip.messagePrefix);
    const headers = filterHeaders(head.headers, (name) => name === "sec-websocket-extensions");
    if (grip !== undefined && isVerbatim) headers.push("Sec-WebSocket-Extensions", grip.text);
    const shown = { ...head, headers };
    this.#hasControl = grip !== undefined || (this.#target?.subscriptions.length ?? 0) > 0;
    const held = this.#origin?.held;
    if (held !== undefined && this.#client instanceof ZwsClient && this.#client.takesAnchors) {
      this.#held = held;
      this.#grants = new ConfirmedGrants();
      this.#client.keepPlace();
    }
    this.#anchor();
    this.#client?.accept(shown);
    this.#accepted(shown);
    if (!this.#isOver) this.#openControl(grip);
  }

  #openControl(grip: GripExtension | undefined): void {
    const channels = this.#target?.subscriptions ?? [];
    if (grip === undefined && channels.length === 0) return;
    const control = this.#joinHandler(undefined, undefined);
    for (const channel of channels) control.subscribe(channel, this.#ports.nowMs());
  }

  #joinHandler(anchor: string | undefined, marks: string | undefined): ControlSession {
    const { request } = this;
    const route = request.route as Route;
    const control = this.#ports.control.open(request.connectionId, this, {
      uri: request.uri,
      route: route.id,
      separateStats: route.hasExplicitId,
      channelPrefix: route.prefix,
      debug: request.debug,
      trusted: this.#target?.trusted ?? false,
      logLevel: route.logLevel,
      isSucceeded: this.#ports.isSucceeded,
      anchor,
      marks,
    });
    this.#control = control;
    return control;
  }

  #announce(): void {
    const { request, statsRoute } = this;
    this.#ports.stats.connectionAdded(
      {
        id: request.connectionId,
        kind: "ws",
        route: statsRoute,
        peerAddress: request.logicalAddress,
        secure: request.uri.startsWith("wss:"),
        unreportedMs: undefined,
      },
      this.#ports.nowMs(),
    );
  }

  #accepted(head: HandshakeHead): void {
    const { stats } = this.#ports;
    const { request, statsRoute } = this;
    const { uri, headers } = request;
    stats.requestReceived(statsRoute);
    stats.activity(statsRoute, 1);
    this.#announce();
    const sent = 3 + head.reason.length + headerBytes(head.headers);
    const received = requestHeaderBytes("GET", uri, headers);
    stats.count(statsRoute, "clientHeaderBytesReceived", received);
    stats.count(statsRoute, "clientHeaderBytesSent", sent);
    this.#log(101, 0);
  }

  #rejected(head: HandshakeHead, body: Bytes): void {
    if (this.#isOver) return;
    this.#origin = undefined;
    const shown = sliceBytes(body, 0, Math.min(body.length, REJECTION_MAX_BYTES));
    this.#client?.reject(head, shown);
    this.#log(head.code, shown.length);
    this.#over();
  }

  #failed(condition: string): void {
    if (this.#isOver) return;
    this.#origin = undefined;
    // A handshake is safe to repeat.
    const isAgain = condition === PEER_RESTARTED && this.#restarts < RESTARTS_MAX;
    if (isAgain) {
      this.#restarts += 1; // Limit: RESTARTS_MAX
      this.#targetIndex -= 1;
    }
    if (isAgain || IS_CONNECT_FAILURE.test(condition)) this.#nextTarget();
    else this.#refuse(502, PROXY_ERROR);
  }

  #refuse(code: number, text: string, debugText = text): void {
    const body = this.request.debug ? debugText : text;
    this.#client?.reject({ code, reason: reasonPhrase(code), headers: [] }, body);
    this.#log(code, body.length);
    this.#over();
  }

  #log(code: number, bytes: number): void {
    const { request } = this;
    this.#ports.logRequest({
      method: "GET",
      uri: request.uri,
      target: this.#target?.label,
      isOverHttp: this.#target?.overHttp ?? false,
      route: request.route,
      headers: request.headers,
      address: request.logicalAddress,
      outcome: { code, bytes },
      isRetry: false,
    });
  }

  // Client to backend

  #fromClient(type: MessageType, body: Bytes, more: boolean): void {
    this.wasActive = true;
    this.#count("clientContentBytesReceived", body.length);
    if (!more) this.#count("clientMessagesReceived", 1);
    this.#ungrantedUp += body.length;
    if (this.#origin !== undefined && !this.#isOriginClosed) {
      this.#origin.message(type, body, more);
      this.#count("serverContentBytesSent", body.length);
      if (!more) this.#count("serverMessagesSent", 1);
    }
    this.#grantUp();
  }

  #pingFromClient(body: Bytes): void {
    this.wasActive = true;
    this.#ungrantedUp += body.length;
    if (!this.#isOriginClosed) this.#origin?.ping(body);
    this.#grantUp();
  }

  #pongFromClient(body: Bytes): void {
    this.wasActive = true;
    this.#ungrantedUp += body.length;
    if (!this.#isOriginClosed) this.#origin?.pong(body);
    this.#grantUp();
  }

  #closedByClient(code: number | undefined, reason: Bytes): void {
    if (this.#origin === undefined || this.#isDetached) {
      this.#closeClient(undefined, "");
      return;
    }
    if (this.#isOriginClosed) return;
    this.#isOriginClosed = true;
    this.#origin.close(code, reason);
  }

  #clientGone(): void {
    this.#client = undefined;
    // A close that was passed on is still carried out: by a WebSocket's backend on its own, over
    // HTTP before the backend hears no more.
    if (!this.#isOriginClosed || this.#target?.overHttp === true) this.#origin?.drop();
    this.#over();
  }

  // Backend to client

  #fromOrigin(type: MessageType, body: Bytes, more: boolean, at: number | undefined): void {
    this.#ungrantedDown += body.length;
    this.#count("serverContentBytesReceived", body.length);
    if (!more) this.#count("serverMessagesReceived", 1);
    const passed =
      this.#gate === undefined
        ? { action: "pass" as const, body }
        : this.#gate.next(type, body, more);
    if (passed.action === "control")
      this.#control?.grip(toByteString(passed.body), this.#ports.nowMs());
    else if (passed.action === "pass" && (!this.#isDetached || this.#isInMessage)) {
      this.#isInMessage = more;
      this.#toClient(type, passed.body, more, at);
      if (!more) this.#runHeld();
    }
    this.#grantDown();
  }

  #toClient(type: MessageType, body: Bytes, more: boolean, at?: number): void {
    if (this.#client === undefined || this.#isClientClosed) return;
    this.wasActive = true;
    // Once the client has what comes behind a control message, our successor does not ask for that any more.
    if (this.#control?.hasUnacknowledged) this.#ports.control.flush();
    this.#client.message(type, body, more, at);
    this.#count("clientContentBytesSent", body.length);
    if (!more) this.#count("clientMessagesSent", 1);
    this.#keepAlive?.messageSent(this.#ports.nowMs());
  }

  #pingFromOrigin(body: Bytes, at: number | undefined): void {
    this.#ungrantedDown += body.length;
    if (!this.#isDetached && !this.#isClientClosed) this.#client?.ping(body, at);
    this.#grantDown();
  }

  #pongFromOrigin(body: Bytes, at: number | undefined): void {
    this.#ungrantedDown += body.length;
    if (!this.#isDetached && !this.#isClientClosed) this.#client?.pong(body, at);
    this.#grantDown();
  }

  #closedByOrigin(code: number | undefined, reason: Bytes): void {
    if (!this.#isDetached) this.#closeClient(code, reason);
    // The client has closed already, or has no say any more: nobody else will answer.
    if ((this.#client === undefined || this.#isDetached) && !this.#isOriginClosed) {
      this.#isOriginClosed = true;
      this.#origin?.close(code, reason);
    }
  }

  #originGone(): void {
    this.#origin = undefined;
    if (this.#isDetached || this.#isClientClosed || this.#isOver) return;
    this.#client?.drop();
    this.#client = undefined;
    this.#over();
  }

  #closeClient(code: number | undefined, reason: Bytes): void {
    if (this.#isClientClosed) return;
    this.#isClientClosed = true;
    this.#anchor();
    this.#client?.close(code, reason);
  }

  // Commands of the handler

  command(item: ControlItem, nowMs: number): void {
    switch (item.type) {
      case "send":
        this.#send(item);
        return;
      case "keep-alive-setup":
        this.#setUpKeepAlive(item, nowMs);
        return;
      case "refresh":
        this.#origin?.refresh();
        break;
      case "close":
        this.#closeClient(item.code === 0 ? undefined : item.code, item.reason ?? "");
        this.#closeOrigin();
        break;
      case "detach":
        this.#isDetached = true;
        this.anchorChanged();
        this.#closeOrigin();
        this.#grantUp();
        break;
      case "cancel":
        // The handler has forgotten us: there is nothing to say good-bye to.
        if (this.#control !== undefined) this.#ports.control.remove(this.#control);
        this.#control = undefined;
        this.controlLost();
        return;
      default:
    }
    if (item.reqId !== undefined) this.#control?.ack(item.reqId);
  }

  controlConfirmed(): void {
    this.#grantDown();
  }

  controlLost(): void {
    this.#origin?.drop();
    this.#origin = undefined;
    this.#client?.drop();
    this.#client = undefined;
    this.#over();
  }

  /** Joins the others that get this message; false if it has to be sent alone. */
  share(item: ControlItem, fanOut: FanOut): boolean {
    if (this.#isInMessage || this.#isClientClosed || item.reqId !== undefined) return false;
    if (!(this.#client instanceof ZwsClient) || !this.#client.share(fanOut)) return false;
    this.wasActive = true;
    this.#count("clientContentBytesSent", item.message?.length ?? 0);
    this.#count("clientMessagesSent", 1);
    this.#keepAlive?.messageSent(this.#ports.nowMs());
    return true;
  }

  #send(item: ControlItem): void {
    if (this.#isInMessage && this.#client !== undefined) {
      this.#heldBack ??= [];
      // Limit: HELD_COMMANDS_MAX
      if (this.#heldBack.length >= HELD_COMMANDS_MAX) this.#tooSlow();
      else this.#heldBack.push(item);
      return;
    }
    const body = item.message ?? "";
    const client = this.#client;
    if (client !== undefined && !this.#isClientClosed) {
      if (item.contentType === "ping") client.ping(body);
      else if (item.contentType === "pong") client.pong(body);
      else this.#toClient(item.contentType === "binary" ? "binary" : "text", body, false);
      // Limit: CLIENT_QUEUE_MAX_BYTES
      if (client.queuedBytes > CLIENT_QUEUE_MAX_BYTES) this.#tooSlow();
    }
    if (item.reqId !== undefined) this.#control?.ack(item.reqId);
  }

  #runHeld(): void {
    const held = this.#heldBack;
    if (held === undefined) return;
    this.#heldBack = undefined;
    for (const item of held) this.#send(item);
  }

  #tooSlow(): void {
    this.#ports.log.info("client too slow for what is published, closed", {
      cid: this.request.connectionId,
    });
    this.#closeClient(POLICY_VIOLATION, "too slow");
    this.#closeOrigin();
  }

  #setUpKeepAlive(item: ControlItem, nowMs: number): void {
    this.#keepAlive?.cancel();
    this.#keepAlive = undefined;
    this.#keepAliveSetup = undefined;
    if (item.timeout !== undefined && item.timeout > 0)
      this.#startKeepAlive(
        { timeoutS: item.timeout, isIdle: item.keepAliveMode !== "interval" },
        nowMs,
      );
    this.anchorChanged();
  }

  #startKeepAlive(setup: SocketAnchor["keepAlive"] & object, nowMs: number): void {
    this.#keepAliveSetup = setup;
    this.#keepAlive = new KeepAliveTimer(this.#ports.timers, setup.timeoutS, setup.isIdle, () =>
      this.#control?.needKeepAlive(),
    );
    this.#keepAlive.start(nowMs);
  }

  #closeOrigin(): void {
    if (this.#isOriginClosed) return;
    this.#isOriginClosed = true;
    this.#origin?.close(undefined, "");
  }

  // End

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#keepAlive?.cancel();
    this.#control?.close();
    this.#control = undefined;
    if (this.#isOpen)
      this.#ports.stats.connectionRemoved(this.request.connectionId, this.#ports.nowMs());
    this.#ports.socketClosed(this);
  }

  // Flow

  #grantUp(): void {
    if (this.#ungrantedUp === 0 || this.#client === undefined) return;
    const waiting = this.#isDetached ? 0 : (this.#origin?.queuedBytes ?? 0);
    // What the backend has not taken is not credited either: the client's side keeps it, and sends
    // it again to whoever comes after us.
    if (waiting > INITIAL_CREDITS / 2) return;
    const bytes = this.#ungrantedUp - waiting;
    if (bytes <= 0) return;
    this.#ungrantedUp = waiting;
    this.#client.grant(bytes);
  }

  #grantDown(): void {
    const origin = this.#origin;
    if (origin === undefined) return;
    const client = this.#client;
    const grants = this.#grants;
    if (grants !== undefined && client instanceof ZwsClient) {
      if (this.#ungrantedDown > 0) grants.add(client.submittedBytes, this.#ungrantedDown);
      this.#ungrantedDown = 0;
      // What the handler has not confirmed would be lost with us.
      if (this.#control?.hasUnacknowledged) return;
      const due = grants.take(client.confirmedBytes);
      if (due > 0) origin.grant(due);
      return;
    }
    if (this.#ungrantedDown === 0) return;
    if ((this.#client?.queuedBytes ?? 0) > INITIAL_CREDITS / 2) return;
    const bytes = this.#ungrantedDown;
    this.#ungrantedDown = 0;
    origin.grant(bytes);
  }

  #count(counter: ByteCounter, amount: number): void {
    if (amount > 0) this.#ports.stats.count(this.statsRoute, counter, amount);
  }
}
