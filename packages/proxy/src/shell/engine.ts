import { type Clock, TickPace } from "@pushpin/clock";
import type { ProxySettings } from "@pushpin/config";
import { Signer } from "@pushpin/grip";
import type { Logger } from "@pushpin/log";
import { ByteStringMap, decode, detach, encode, toUtf8 } from "@pushpin/tnetstrings";
import {
  FanOut,
  INITIAL_CREDITS,
  KeepAliveSchedule,
  type Packet,
  peerRestarted,
  Predecessors,
  Session,
} from "@pushpin/zhttp";
import type { InitiatorSockets, ResponderSockets } from "@pushpin/zhttp/sockets";
import {
  decodeControlPacket,
  decodeRetryPacket,
  encodeControlPacket,
  encodeRetryPacket,
  type RequestState,
  type RetryPacket,
} from "@pushpin/zrpc";
import type { StatsRecorder } from "@pushpin/stats";
import { renderAccessLine } from "../core/access-log.ts";
import { LateAcknowledgements } from "../core/relay/late-acknowledgements.ts";
import type { SessionEnd } from "../core/relay/ports.ts";
import { type IntakeSettings, RequestIntake } from "../core/relay/request-intake.ts";
import { type TransformSettings, transformHeaders } from "../core/relay/request-transform.ts";
import { type WaitingRequest, WaitingRequests } from "../core/relay/waiting-requests.ts";
import type { Route, RouteTable } from "../core/routes/route-table.ts";
import { SockJsManager } from "../core/sockjs/sockjs-manager.ts";
import { Arrivals } from "../core/websocket/arrivals.ts";
import { ControlSessions } from "../core/websocket/control-sessions.ts";
import { openOrigin } from "../core/websocket/origins.ts";
import { SocketIntake } from "../core/websocket/socket-intake.ts";
import type { SocketPorts, SocketRelay } from "../core/websocket/socket-relay.ts";
import { SocketTimers, TICK_MS } from "../core/websocket/socket-timers.ts";
import { ZwsClient } from "../core/websocket/zws-client.ts";
import { OverHttpShared } from "../core/websocket-over-http/websocket-over-http.ts";
import { HandlerCalls, type HandlerCallSockets } from "./handler-calls.ts";
import { type KeyStore, signatureState, signingOf } from "./key-store.ts";
import type { ZhttpTargets } from "./zhttp-targets.ts";

const SECOND_MS = 1000;
const SECONDS_PER_MINUTE = 60;
/** Limit: retries that came before the handler's answer to the accept; more are dropped. Unit: requests. */
const EARLY_RETRIES_MAX = 10_000;
/** Clients are told to come back: the service restarts. */
const GOING_AWAY = 1001;

export interface EngineSockets extends HandlerCallSockets {
  readonly clients: ResponderSockets;
  readonly backends: InitiatorSockets;
  readonly internal: ResponderSockets | undefined;
  readonly zhttpTargets: ZhttpTargets;
  controlInit(frame: Buffer): void;
  controlStream(to: string, frame: Buffer): void;
  /** To another worker of the proxy, where the handler's retries go. */
  toSibling(slot: number, frame: Buffer): void;
}

export interface EngineOptions {
  readonly instanceId: string;
  readonly settings: ProxySettings;
  /** Requests open at a time; Infinity: no limit. */
  readonly openRequestsMax: number;
  readonly shareAll: boolean;
  readonly decodesContent: boolean;
  readonly isSucceeded: boolean;
  readonly keys: KeyStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly stats: StatsRecorder;
  readonly sockets: () => EngineSockets;
  /** Which of how many workers this is; absent: the only one. */
  readonly worker?: { readonly slot: number; readonly count: number };
}

/** Where the packets of a session go when not to a connection manager or the HTTP client. */
interface Link {
  readonly keepAlive: KeepAliveSchedule<SessionEnd>;
  first(packet: Packet): void;
  send(to: string, packet: Packet, viaRouter: boolean): void;
}

/** All requests and WebSockets on their way through this process. */
export class Engine {
  routes!: RouteTable;
  #options: EngineOptions;
  /** Sessions of clients and of the handler, by `<sender>:<id>`. */
  readonly #ends = new ByteStringMap<SessionEnd>();
  /** By the session they are about, which is still with the handler. */
  readonly #earlyRetries = new Map<string, RetryPacket>();
  /** Our own to HTTP clients and services, by id. */
  readonly #backendEnds = new ByteStringMap<SessionEnd>();
  readonly #links = new Map<Session, Link>();
  readonly #relays = new Map<string, SocketRelay>();
  readonly #keepAlive = new KeepAliveSchedule<SessionEnd>();
  readonly #signer = new Signer();
  #transform: TransformSettings;
  readonly #control: ControlSessions;
  readonly #fanOut: FanOut;
  readonly #timers: SocketTimers;
  readonly #overHttp: OverHttpShared;
  readonly #ports: SocketPorts;
  readonly #intake: RequestIntake;
  readonly #socketIntake: SocketIntake;
  readonly #sockJs: SockJsManager;
  readonly #pace = new TickPace(TICK_MS);
  #ticker: NodeJS.Timeout;
  readonly #httpClients = new Predecessors();
  readonly #handlers = new Predecessors();
  readonly #arrivals: Arrivals;
  readonly #acknowledgements: LateAcknowledgements;
  readonly #waiting = new WaitingRequests();
  readonly #handlerCalls: HandlerCalls;
  readonly #internalLink: Link;
  readonly #streamLinks = new Map<InitiatorSockets, Link>();
  #nextSecondMs: number;
  #seconds = 0;
  #nextId = 0;
  /** Instance id of the handler that has come last. */
  #handler = "";
  #open = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    const { settings, instanceId, log, clock } = options;
    this.#transform = transformSettings(settings);
    this.#internalLink = {
      keepAlive: new KeepAliveSchedule(),
      first: () => {},
      send: (to, packet, viaRouter) => options.sockets().internal?.send(to, packet, viaRouter),
    };
    this.#fanOut = new FanOut(instanceId, (to, packet, viaRouter) =>
      options.sockets().clients.send(to, packet, viaRouter),
    );
    this.#control = new ControlSessions(
      instanceId,
      {
        init: (packet) => options.sockets().controlInit(encode(encodeControlPacket(packet))),
        stream: (to, packet) =>
          options.sockets().controlStream(to, encode(encodeControlPacket(packet))),
        working: (item) => {
          options.sockets().clients.mark = item;
        },
        dirty: () => queueMicrotask(() => this.#control.flush()),
      },
      this.#fanOut,
      log,
    );
    this.#handlerCalls = new HandlerCalls(instanceId, options.sockets);
    this.#acknowledgements = new LateAcknowledgements(clock, (session) => this.#pump(session));
    this.#timers = new SocketTimers(clock.nowMs());
    this.#arrivals = new Arrivals(clock);
    this.#overHttp = new OverHttpShared(this.#timers, Math.random);
    this.#ports = this.#makePorts();
    this.#sockJs = new SockJsManager({
      timers: this.#timers,
      nowMs: () => clock.nowMs(),
      random: Math.random,
      scriptUrl: settings.sockjs_url,
      open: (request, makeClient) => this.#socketIntake.openVirtual(request, makeClient),
    });
    this.#intake = new RequestIntake(
      this.#ports,
      this.#intakeSettings(),
      this.#sockJs,
      () => this.routes,
    );
    this.#socketIntake = new SocketIntake({
      ports: this.#ports,
      requests: this.#intake,
      sockJs: this.#sockJs,
      routes: () => this.routes,
    });
    this.#nextSecondMs = clock.nowMs() + SECOND_MS;
    this.#ticker = setTimeout(this.#runTick, TICK_MS);
  }

  /** The first packet of a client's session. */
  first(packet: Packet): void {
    this.#take({ packet, isInternal: false });
  }

  /** The first packet of a request of the handler. */
  firstInternal(packet: Packet): void {
    this.#take({ packet, isInternal: true });
  }

  /** A handler of ours has started. */
  handlerStarted(handler: string): void {
    if (handler === this.#handler || !this.#handlers.announce(handler)) return;
    const isSuccessor = this.#handler !== "";
    this.#handler = handler;
    this.#control.handlerStarted(handler, this.#options.clock.nowMs());
    if (!isSuccessor) return;
    this.#options.log.info("handler has a successor", { handler });
    this.#handlerCalls.askAgain();
  }

  /** The WebSockets of the proxy before us are all here. */
  gathered(): void {
    this.#control.complete();
  }

  /** An HTTP client has started: what was with the one before it has failed. */
  httpClientStarted(client: string): void {
    if (!this.#httpClients.announce(client)) return;
    this.#arrivals.arrived(client);
    const { lostEpoch } = this.#options.sockets().backends;
    const nowMs = this.#options.clock.nowMs();
    for (const end of this.#backendEnds.values()) {
      const { session } = end;
      if (this.#links.has(session) || session.ended) continue;
      if (this.#httpClients.isLost(session, client, lostEpoch))
        end.packet(peerRestarted(), undefined, nowMs);
    }
  }

  /** A follow-up of a client's, the handler's or a backend's session. */
  packet(packet: Packet): void {
    const nowMs = this.#options.clock.nowMs();
    if (packet.type === "resume" && packet.anchor !== undefined) {
      if (!this.#ends.has(keyOf(packet.from, packet.id))) this.#socketIntake.resume(packet, nowMs);
      return;
    }
    const { ids } = packet;
    if (ids === undefined) this.#deliver(packet, packet.id, packet.seq, nowMs);
    else for (const { id, seq } of ids) this.#deliver(packet, id, seq, nowMs);
  }

  /** Held requests that the handler gives back. */
  retry(frame: Uint8Array): void {
    const decoded = decode(frame);
    const retry =
      decoded.ok && decoded.value instanceof Map ? decodeRetryPacket(decoded.value) : undefined;
    if (retry?.ok)
      this.#intake.retry(retry.value, (state) => this.#resumeRetried(state, retry.value));
    else
      this.#options.log.warn("malformed retry dropped", {
        error: retry === undefined ? "not a map" : retry.error,
      });
  }

  /** What the handler says about WebSockets. */
  controlPacket(frame: Uint8Array): void {
    const decoded = decode(frame);
    const packet = decoded.ok ? decodeControlPacket(decoded.value) : decoded;
    if (packet.ok) {
      // What a handler that has a successor still says would take sessions back to it.
      if (!this.#handlers.isReplaced(packet.value.from))
        this.#control.receive(packet.value, this.#options.clock.nowMs());
    } else this.#options.log.warn("malformed ws-control packet dropped", { error: packet.error });
  }

  /** Whether a connection is here: `<sender>:<id>`, or the id of a WebSocket. */
  knows(id: string): boolean {
    return this.#ends.has(id) || this.#relays.has(id);
  }

  /** A WebSocket's backend is asked for events; false if it is not here. */
  refresh(cid: string): boolean {
    const relay = this.#relays.get(cid);
    relay?.command({ cid, type: "refresh" }, this.#options.clock.nowMs());
    return relay !== undefined;
  }

  /** A successor comes: backends that speak HTTP are asked nothing more by us. */
  leave(): void {
    this.#overHttp.isLeaving = true;
  }

  /** Nothing is under way that would be lost with us; WebSockets go on elsewhere. */
  get isQuiet(): boolean {
    for (const ends of [this.#ends, this.#backendEnds])
      for (const { session } of ends.values()) if (session.kind === "http") return false;
    return this.#waiting.size === 0;
  }

  /** Ends everything; backends of WebSockets over HTTP are told first, for a bounded time. */
  async stop(): Promise<void> {
    for (const relay of [...this.#relays.values()]) relay.shutdown(GOING_AWAY);
    await this.#overHttp.disconnects.stop(this.#options.clock);
    clearTimeout(this.#ticker);
    this.#acknowledgements.stop();
    for (const end of [...this.#ends.values(), ...this.#backendEnds.values()]) {
      if (end instanceof ZwsClient) continue; // has got its close
      end.session.cancel();
      this.#pump(end.session);
    }
    this.#control.flush();
  }

  // Intake

  #take(request: WaitingRequest): void {
    const { from, id, ids, type } = request.packet;
    if (from === "" || id === "" || ids !== undefined || type !== "data") return;
    if (this.#ends.has(keyOf(from, id))) return;
    if (this.#open < this.#options.openRequestsMax && this.#waiting.size === 0) {
      this.#begin(request);
      return;
    }
    this.#waiting.add(request);
    if (this.#waiting.isFull) this.#options.sockets().clients.pauseIntake();
  }

  /** A place has become free. */
  #beginWaiting(): void {
    while (this.#open < this.#options.openRequestsMax) {
      const request = this.#waiting.takeFirst();
      if (request === undefined) break;
      this.#begin(request);
    }
    this.#regulateIntake();
  }

  #regulateIntake(): void {
    if (this.#waiting.hasRoom) this.#options.sockets().clients.resumeIntake();
  }

  #begin({ packet, isInternal }: WaitingRequest): void {
    const isWebSocket = /^wss?:/.test(packet.uri);
    const nowMs = this.#options.clock.nowMs();
    const session = new Session({
      role: "responder",
      kind: isWebSocket ? "websocket" : "http",
      from: this.#options.instanceId,
      id: detach(packet.id),
      peer: detach(packet.from),
      nowMs,
      credits: isWebSocket ? INITIAL_CREDITS : 0,
    });
    if (isInternal) this.#links.set(session, this.#internalLink);
    if (
      !/^(?:https?|wss?):\/\//.test(packet.uri) ||
      session.receive(packet, packet.seq, nowMs) !== "data" ||
      (isWebSocket ? isInternal : !packet.stream)
    ) {
      session.fail("bad-request");
      this.#pump(session);
      this.#links.delete(session);
      return;
    }
    if (isWebSocket) {
      this.#socketIntake.request(session, packet);
      return;
    }
    if (packet.more) {
      session.acknowledge(INITIAL_CREDITS);
      this.#pump(session);
    } else this.#acknowledgements.add(session);
    if (isInternal) {
      this.#intake.internal(session, packet);
      return;
    }
    const headers = packet.headers ?? [];
    packet.uri = this.#intake.effectiveUri(packet.uri, headers);
    this.#intake.request(session, packet, this.#intake.routeOf("http", packet.uri, headers));
  }

  /** A retry may overtake the answer to our accept, which comes by another socket: it waits for that. */
  #resumeRetried(state: RequestState, retry: RetryPacket): Session | undefined {
    const key = keyOf(state.rid.sender, state.rid.id);
    if (!this.#ends.has(key)) return this.#resume(state);
    if (this.#earlyRetries.size < EARLY_RETRIES_MAX) // Limit: EARLY_RETRIES_MAX
      this.#earlyRetries.set(key, { ...retry, requests: [state] });
    return undefined;
  }

  /** Undefined for one that is here already: a handler that was asked twice may give it back twice. */
  #resume(state: RequestState): Session | undefined {
    if (this.#ends.has(keyOf(state.rid.sender, state.rid.id))) return undefined;
    const session = Session.resume({
      kind: "http",
      from: this.#options.instanceId,
      peer: detach(state.rid.sender),
      id: detach(state.rid.id),
      inSeq: state.inSeq,
      outSeq: state.outSeq,
      outCredits: state.outCredits,
      routerResp: state.routerResp ?? false,
      nowMs: this.#options.clock.nowMs(),
    });
    this.#pump(session);
    return session;
  }

  #deliver(packet: Packet, id: string, seq: number | undefined, nowMs: number): void {
    // Sessions to backends are ours by id alone; those of clients belong to a connection manager.
    const end = this.#backendEnds.get(id) ?? this.#ends.get(keyOf(packet.from, id));
    if (end !== undefined) {
      end.packet(packet, seq, nowMs);
      return;
    }
    if (this.#waiting.size === 0 || (packet.type !== "cancel" && packet.type !== "error")) return;
    if (this.#waiting.remove(packet.from, id)) this.#regulateIntake();
  }

  #pump(session: Session): void {
    const sockets = this.#options.sockets();
    const { log } = this.#options;
    const link = this.#links.size === 0 ? undefined : this.#links.get(session);
    for (;;) {
      const isFirst = session.outSeq === 0;
      const packet = session.takePacket();
      if (packet === undefined) return;
      if (log.isDebug)
        log.debug("packet out", {
          to: session.peer,
          id: packet.id,
          type: packet.type,
          seq: packet.seq,
          code: packet.code,
        });
      if (session.role === "responder")
        (link ?? sockets.clients).send(session.peer, packet, session.routerResp);
      else if (!isFirst || session.peer !== "") (link ?? sockets.backends).send(session.peer, packet, true);
      else if (link === undefined) sockets.backends.sendFirst(packet);
      else link.first(packet);
    }
  }

  /** The settings that are marked live, for requests from now on; the others stay as they were. */
  reload(settings: ProxySettings, shareAll: boolean): void {
    this.#options = { ...this.#options, settings, shareAll };
    this.#transform = transformSettings(settings);
    this.#intake.configure(this.#intakeSettings());
  }

  #intakeSettings(): IntakeSettings {
    const { settings, keys, shareAll, worker, sockets } = this.#options;
    return {
      acceptForwardedProtocol: settings.accept_x_forwarded_protocol,
      acceptPushpinRoute: settings.accept_pushpin_route,
      forwardedFor: settings.x_forwarded_for,
      forwardedForTrusted: settings.x_forwarded_for_trusted,
      upstreamKey: keys.verification(settings.upstream_key),
      shareAll,
      siblings:
        worker === undefined
          ? undefined
          : {
              ...worker,
              handOver: (slot, retry) =>
                sockets().toSibling(slot, encode(encodeRetryPacket(retry))),
            },
    };
  }

  // What the core asks for

  #makePorts(): SocketPorts {
    const { instanceId, clock, log, stats, decodesContent, isSucceeded, sockets } = this.#options;
    const settings = () => this.#options.settings; // a reload replaces them
    return {
      get debug() {
        return settings().debug;
      },
      get autoCrossOrigin() {
        return settings().auto_cross_origin;
      },
      decodesContent,
      isSucceeded,
      instanceId,
      clock,
      log,
      stats,
      control: this.#control,
      timers: this.#timers,
      nowMs: () => clock.nowMs(),
      openBackend: (kind, credits, target) => {
        this.#nextId += 1;
        const session = new Session({
          role: "initiator",
          kind,
          from: instanceId,
          id: this.#nextId.toString(36),
          nowMs: clock.nowMs(),
          credits,
          offerRouter: false,
          epoch: sockets().backends.epoch,
        });
        const stream = target?.kind === "zhttp" ? sockets().zhttpTargets.stream(target) : undefined;
        if (stream !== undefined) this.#links.set(session, this.#linkTo(stream));
        return session;
      },
      awaitHttpClient: (id, done) => this.#arrivals.await(id, done),
      isReachable: (target) => sockets().zhttpTargets.isReachable(target),
      requestReply: (target, packet, done) =>
        sockets().zhttpTargets.request(target, packet, clock.nowMs(), done),
      register: (end) => this.#register(end),
      unregister: (end) => this.#unregister(end),
      pump: (session) => this.#pump(session),
      signature: (route) => this.#signature(route),
      transform: (request, route) => transformHeaders(request, route, this.#transform),
      explainSettings: (showsRouteHeaders) => ({
        transform: this.#transform,
        keyState: (route) => signatureState(route, settings(), this.#options.keys),
        showsRouteHeaders,
      }),
      inspect: (call, done) => this.#handlerCalls.inspect(call, done),
      accept: (call, done) => this.#handlerCalls.accept(call, done),
      logRequest: (entry) => {
        if ((entry.route?.logLevel ?? log.level) < 2 || log.level < 2) return;
        const { log_from: logFrom, log_user_agent: logUserAgent } = settings();
        log.info(toUtf8(renderAccessLine(entry, { logFrom, logUserAgent })));
      },
      openOrigin: (target, request, events) =>
        openOrigin(this.#ports, this.#overHttp, target, request, events),
      socketOpened: (relay) => {
        this.#relays.set(relay.request.connectionId, relay);
      },
      socketClosed: (relay) => {
        this.#relays.delete(relay.request.connectionId);
      },
    };
  }

  #linkTo(stream: InitiatorSockets): Link {
    const known = this.#streamLinks.get(stream);
    if (known !== undefined) return known;
    const link: Link = {
      keepAlive: new KeepAliveSchedule(),
      first: (packet) => stream.sendFirst(packet),
      send: (to, packet) => stream.send(to, packet),
    };
    this.#streamLinks.set(stream, link);
    return link;
  }

  #keepAliveOf(session: Session): KeepAliveSchedule<SessionEnd> {
    const link = this.#links.size === 0 ? undefined : this.#links.get(session);
    return link?.keepAlive ?? this.#keepAlive;
  }

  #register(end: SessionEnd): void {
    const { session } = end;
    if (session.role === "initiator") this.#backendEnds.set(session.id, end);
    else {
      this.#open += 1;
      this.#ends.set(end.key ?? keyOf(session.peer, session.id), end);
    }
    this.#keepAliveOf(session).add(end);
  }

  #unregister(end: SessionEnd): void {
    const { session } = end;
    this.#keepAliveOf(session).remove(end);
    if (this.#links.size > 0) this.#links.delete(session);
    if (session.role === "initiator") {
      if (this.#backendEnds.get(session.id) === end) this.#backendEnds.delete(session.id);
      return;
    }
    const key = end.key ?? keyOf(session.peer, session.id);
    if (this.#ends.get(key) !== end) return;
    this.#ends.delete(key);
    this.#open -= 1;
    if (this.#earlyRetries.size > 0) this.#beginEarlyRetry(key);
    if (this.#waiting.size > 0) this.#beginWaiting();
  }

  #beginEarlyRetry(key: string): void {
    const retry = this.#earlyRetries.get(key);
    if (retry === undefined) return;
    this.#earlyRetries.delete(key);
    // Its end is still being dealt with.
    queueMicrotask(() => this.#intake.retry(retry, (state) => this.#resume(state)));
  }

  #signature(route: Route): string {
    const { settings, clock, keys } = this.#options;
    const { issuer, key } = signingOf(route, settings, keys);
    if (issuer === "" || key === undefined) return "";
    return this.#signer.token(issuer, key, clock.wallMs());
  }

  readonly #runTick = (): void => {
    this.#ticker = setTimeout(this.#runTick, this.#pace.delayMs(this.tick()));
  };

  /**
   * What has to be done every `TICK_MS`, or less often while nothing happens (`TickPace`); called by the engine's own timer.
   * @returns whether anything was counted since the last time.
   */
  tick(): boolean {
    const nowMs = this.#options.clock.nowMs();
    this.#timers.advance(nowMs);
    const isBusy = this.#options.stats.flush();
    if (nowMs >= this.#nextSecondMs) {
      this.#nextSecondMs = Math.max(this.#nextSecondMs + SECOND_MS, nowMs);
      this.#second(nowMs);
    }
    this.#control.flush();
    return isBusy;
  }

  #second(nowMs: number): void {
    const sockets = this.#options.sockets();
    const { packets, expired } = this.#keepAlive.tick(nowMs);
    for (const { to, packet, viaRouter, role } of packets) {
      if (role === "responder") sockets.clients.send(to, packet, viaRouter);
      else sockets.backends.send(to, packet);
    }
    for (const end of expired) end.expired();
    for (const link of [this.#internalLink, ...this.#streamLinks.values()]) {
      const turn = link.keepAlive.tick(nowMs);
      for (const { to, packet, viaRouter } of turn.packets) link.send(to, packet, viaRouter);
      for (const end of turn.expired) end.expired();
    }
    for (const stream of this.#streamLinks.keys())
      if (!sockets.zhttpTargets.has(stream)) this.#streamLinks.delete(stream);
    this.#control.tick(nowMs);
    this.#options.stats.tick(nowMs);
    sockets.zhttpTargets.tick(nowMs);
    this.#seconds += 1;
    if (this.#seconds % SECONDS_PER_MINUTE === 0)
      for (const relay of this.#relays.values()) relay.countActivity();
  }
}

/** What of the configuration decides how requests are changed. */
export function transformSettings(settings: ProxySettings): TransformSettings {
  const forwarded = settings.set_x_forwarded_protocol;
  return {
    acceptForwardedProtocol: settings.accept_x_forwarded_protocol,
    setForwardedProtocol:
      forwarded === "true" ? "both" : forwarded === "proto-only" ? "proto-only" : "none",
    forwardedFor: settings.x_forwarded_for,
    forwardedForTrusted: settings.x_forwarded_for_trusted,
    cdnLoop: settings.cdn_loop,
    acceptPushpinRoute: settings.accept_pushpin_route,
    originalHeadersNeedMark: settings.orig_headers_need_mark.map((one) => one.toLowerCase()),
  };
}

function keyOf(from: string, id: string): string {
  return `${from}:${id}`;
}

