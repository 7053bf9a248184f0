import type { Clock } from "@pushpin/clock";
import type { Logger } from "@pushpin/log";
import { ByteStringMap, detach } from "@pushpin/tnetstrings";
import {
  INITIAL_CREDITS,
  isSuccessor,
  KeepAliveSchedule,
  Packet,
  Predecessors,
  Session,
} from "@pushpin/zhttp";
import type { ResponderSockets } from "@pushpin/zhttp/sockets";
import { AgeLine, type InLine } from "../core/age-line.ts";
import type { AddressPolicy } from "./address-policy.ts";
import { ClientPool } from "./client-pool.ts";
import type { ConnectOptions } from "./connector.ts";
import { HttpExchange } from "./http-exchange.ts";
import { WebSocketExchange } from "./websocket-exchange.ts";

/** What a session is to the backend: a request or a WebSocket. */
export interface Exchange extends InLine<Exchange> {
  readonly session: Session;
  /** What the engine knows it by; changes with the session. */
  readonly key: string;
  /** Echoed with every packet. */
  readonly userData: string | undefined;
  keepAliveSlot?: number;
  readonly startedMs: number;
  /** When something was last transferred. */
  progressMs: number;
  start(): void;
  packet(packet: Packet, seq: number | undefined, nowMs: number): void;
  /** `flush` is to be called; owned by the engine. */
  isTouched: boolean;
  /** Sends what has gathered in this turn of the event loop. */
  flush(): void;
  /** Nothing has been transferred for too long. */
  timeOut(): void;
  /** Ends it without a word to the proxy. */
  abandon(): void;
  /** The process is about to stop: what the backend should hear before. */
  goAway?(): void;
}

export interface EngineOptions {
  readonly instanceId: string;
  readonly policy: AddressPolicy;
  readonly http2: boolean;
  /** Name lookup, connection and TLS handshake together take no longer. */
  readonly connectTimeoutMs: number;
  /** A backend that transfers nothing for this long is given up. */
  readonly timeoutMs: number;
  /** Requests and WebSockets at a time. */
  readonly exchangesMax: number;
}

/**
 * A request that is not answered by then is acknowledged: before that the proxy does not know whom
 * to tell that its client has gone.
 */
const ACKNOWLEDGE_AFTER_MS = 50;
/** Limit: time the successor of a proxy has to ask for a WebSocket of it; then it is closed. Unit: ms. */
export const RECLAIM_MAX_MS = 20_000;
const TICK_MS = 1000;
/** Backends that transfer nothing, and idle connections, are looked for each so many ticks. */
const SWEEP_TICKS = 10;

/** All sessions of this process. */
export class Engine {
  readonly clock: Clock;
  readonly log: Logger;
  /** For connections that are not pooled. */
  readonly connectOptions: ConnectOptions;
  readonly pool: ClientPool;
  /** Sessions refused because there were too many. */
  refused = 0;
  #options: EngineOptions;
  readonly #sockets: () => ResponderSockets;
  readonly #exchanges = new ByteStringMap<Exchange>();
  /** WebSockets that the successor of a proxy can go on with. */
  readonly #byRef = new Map<string, WebSocketExchange>();
  readonly #proxies = new Predecessors();
  readonly #keepAlive = new KeepAliveSchedule<Exchange>();
  readonly #timer: NodeJS.Timeout;
  #ticks = 0;
  #touched: Exchange[] = [];
  /** Sessions the proxy has not heard of yet, the oldest first. */
  readonly #unheard = new AgeLine<Exchange>();
  #acknowledging = false;
  #whenIdle: (() => void) | undefined;

  constructor(options: EngineOptions, clock: Clock, log: Logger, sockets: () => ResponderSockets) {
    this.#options = options;
    this.clock = clock;
    this.log = log;
    this.connectOptions = {
      policy: options.policy,
      http2: false,
      timeoutMs: options.connectTimeoutMs,
    };
    this.pool = new ClientPool(options);
    this.#sockets = sockets;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  get nowMs(): number {
    return this.clock.nowMs();
  }

  get exchangeCount(): number {
    return this.#exchanges.size;
  }

  openExchanges(): Exchange[] {
    return this.#exchanges.values();
  }

  /** Other limits from now on. */
  configure(limits: Pick<EngineOptions, "timeoutMs" | "exchangesMax">): void {
    this.#options = { ...this.#options, ...limits };
  }

  /** The first packet of a session. */
  first(packet: Packet): void {
    if (packet.from === "" || packet.id === "" || packet.type !== "data") return;
    const key = keyOf(packet.from, packet.id);
    if (this.#exchanges.has(key)) return;
    const kind = /^wss?:/i.test(packet.uri) ? "websocket" : "http";
    const nowMs = this.clock.nowMs();
    const session = new Session({
      role: "responder",
      kind,
      from: this.#options.instanceId,
      id: detach(packet.id),
      peer: detach(packet.from),
      nowMs,
      credits: kind === "websocket" ? INITIAL_CREDITS : 0,
      lenientSeq: true,
    });
    const isFirst = packet.seq === undefined || packet.seq === 0;
    session.receive(packet, 0, nowMs);
    const exchange =
      kind === "websocket"
        ? new WebSocketExchange(this, session, key, packet)
        : new HttpExchange(this, session, key, packet);
    const isFull = this.#exchanges.size >= this.#options.exchangesMax; // Limit: max_open_requests
    this.#exchanges.set(key, exchange);
    if (exchange instanceof WebSocketExchange && exchange.ref !== undefined)
      this.#byRef.set(exchange.ref, exchange);
    if (isFirst && !isFull) exchange.start();
    else {
      if (isFull) this.#refuse();
      session.fail(isFull ? "undefined-condition" : "bad-request");
    }
    if (exchange.isInLine) return; // in #unheard
    if (!session.ended) this.#keepAlive.add(exchange);
    this.pump(exchange);
  }

  packet(packet: Packet): void {
    const nowMs = this.clock.nowMs();
    if (packet.type === "resume") {
      this.#reclaim(packet);
      return;
    }
    if (packet.ids === undefined) {
      this.#exchanges.get(keyOf(packet.from, packet.id))?.packet(packet, packet.seq, nowMs);
      return;
    }
    for (const { id, seq } of packet.ids)
      this.#exchanges.get(keyOf(packet.from, id))?.packet(packet, seq, nowMs);
  }

  /**
   * A proxy has come or gone. One that has the place of another gets that one's WebSockets as it asks
   * for them; those it has not asked for in a while have no clients any more.
   */
  proxySeen(id: string, isPresent: boolean): void {
    if (!isPresent || !this.#proxies.announce(id)) return;
    this.clock.setTimer(RECLAIM_MAX_MS, () => {
      for (const exchange of [...this.#byRef.values()])
        if (this.#proxies.isReplacedBy(exchange.session.peer, id)) exchange.giveUp(); // Limit: RECLAIM_MAX_MS
    });
  }

  /** The successor of a proxy wants one of its WebSockets. */
  #reclaim(packet: Packet): void {
    const ref = packet.ext?.get("of");
    const exchange = typeof ref === "string" ? this.#byRef.get(ref) : undefined;
    const former = exchange?.session;
    if (
      exchange === undefined ||
      former === undefined ||
      !isSuccessor(packet.from, former.peer) ||
      !exchange.reclaim(packet)
    ) {
      const cancel = new Packet();
      cancel.type = "cancel";
      cancel.from = this.#options.instanceId;
      cancel.id = detach(packet.id);
      this.#sockets().send(detach(packet.from), cancel, false);
      return;
    }
    this.#exchanges.delete(exchange.key);
    exchange.key = keyOf(exchange.session.peer, exchange.session.id);
    this.#exchanges.set(exchange.key, exchange);
    this.pump(exchange);
  }

  /** Sends what the session may send now; a session that is over is forgotten. */
  pump(exchange: Exchange): void {
    const { session } = exchange;
    const wasUnheard = session.hasQueued && this.#unheard.remove(exchange);
    for (let packet = session.takePacket(); packet !== undefined; packet = session.takePacket()) {
      if (exchange.userData !== undefined) packet.userData = exchange.userData;
      if (this.log.isDebug)
        this.log.debug("packet out", {
          to: session.peer,
          id: packet.id,
          type: packet.type,
          seq: packet.seq,
        });
      this.#sockets().send(session.peer, packet, session.routerResp);
    }
    if (session.ended && !session.hasQueued) this.forget(exchange);
    else if (wasUnheard) this.#keepAlive.add(exchange);
  }

  /** Has `flush` called at the end of this turn of the event loop. */
  touch(exchange: Exchange): void {
    if (exchange.isTouched) return;
    exchange.isTouched = true;
    if (this.#touched.length === 0) setImmediate(this.#flush);
    this.#touched.push(exchange);
  }

  /** Most requests are answered before anything else need be said of them. */
  acknowledgeSoon(exchange: Exchange): void {
    this.#unheard.add(exchange);
    if (this.#acknowledging) return;
    this.#acknowledging = true;
    this.clock.setTimer(ACKNOWLEDGE_AFTER_MS, this.#acknowledge);
  }

  forget(exchange: Exchange): void {
    this.#unheard.remove(exchange);
    if (exchange.keepAliveSlot !== undefined) this.#keepAlive.remove(exchange);
    this.#exchanges.delete(exchange.key);
    if (exchange instanceof WebSocketExchange && exchange.ref !== undefined)
      this.#byRef.delete(exchange.ref);
    if (this.#exchanges.size === 0) this.#whenIdle?.();
  }

  /** Lets requests that are on their way end, within the bound; what is left is cancelled. */
  async stop(graceMs: number): Promise<void> {
    clearInterval(this.#timer);
    for (const exchange of this.openExchanges())
      if (exchange.session.kind === "websocket") this.#cancel(exchange);
    if (this.#exchanges.size > 0)
      await new Promise<void>((resolve) => {
        const timer = this.clock.setTimer(graceMs, resolve);
        this.#whenIdle = () => {
          timer.cancel();
          resolve();
        };
      });
    for (const exchange of this.openExchanges()) this.#cancel(exchange);
    this.pool.close();
  }

  #cancel(exchange: Exchange): void {
    exchange.goAway?.();
    exchange.session.cancel();
    this.pump(exchange);
    exchange.abandon();
  }

  #refuse(): void {
    this.refused += 1;
    this.log.warn("too many open requests, one is refused", {
      limit: this.#options.exchangesMax,
      refused: this.refused,
    });
  }

  readonly #flush = (): void => {
    const touched = this.#touched;
    this.#touched = [];
    for (const exchange of touched) {
      exchange.isTouched = false;
      exchange.flush();
    }
  };

  readonly #acknowledge = (): void => {
    const beforeMs = this.nowMs - ACKNOWLEDGE_AFTER_MS;
    for (let oldest = this.#unheard.first; oldest !== undefined; oldest = this.#unheard.first) {
      if (oldest.startedMs > beforeMs) break;
      this.#unheard.remove(oldest);
      oldest.session.acknowledge();
      this.pump(oldest);
      if (!oldest.session.ended) this.#keepAlive.add(oldest);
    }
    this.#acknowledging = this.#unheard.first !== undefined;
    if (this.#acknowledging) this.clock.setTimer(ACKNOWLEDGE_AFTER_MS / 2, this.#acknowledge);
  };

  #tick(): void {
    const nowMs = this.clock.nowMs();
    const { packets, expired } = this.#keepAlive.tick(nowMs);
    for (const { to, packet, viaRouter } of packets) this.#sockets().send(to, packet, viaRouter);
    for (const exchange of expired) exchange.abandon();
    this.#ticks += 1;
    if (this.#ticks % SWEEP_TICKS !== 0) return;
    this.pool.sweep(nowMs);
    const beforeMs = nowMs - this.#options.timeoutMs;
    for (const exchange of this.#exchanges.values())
      if (exchange.progressMs < beforeMs) exchange.timeOut();
  }
}

function keyOf(from: string, id: string): string {
  return `${from} ${id}`;
}
