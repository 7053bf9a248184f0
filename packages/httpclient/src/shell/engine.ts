import type { BlockList } from "node:net";
import type { Clock } from "@pushpin/clock";
import type { Logger } from "@pushpin/log";
import { detach } from "@pushpin/tnetstrings";
import { INITIAL_CREDITS, KeepAliveSchedule, type Packet, Session } from "@pushpin/zhttp";
import type { ResponderSockets } from "@pushpin/zhttp/sockets";
import { ClientPool } from "./client-pool.ts";
import { HttpExchange } from "./http-exchange.ts";
import { WebSocketExchange } from "./websocket-exchange.ts";

/** What a session is to the backend: a request or a WebSocket. */
export interface Exchange {
  readonly session: Session;
  keepAliveSlot?: number;
  start(): void;
  packet(packet: Packet, seq: number | undefined, nowMs: number): void;
  abandon(): void;
}

/** All sessions of this process. */
export class Engine {
  readonly clock: Clock;
  readonly log: Logger;
  readonly pool: ClientPool;
  readonly denied: BlockList;
  readonly #instanceId: string;
  readonly #sockets: () => ResponderSockets;
  readonly #exchanges = new Map<string, Exchange>();
  readonly #keepAlive = new KeepAliveSchedule<Exchange>();
  readonly #timer: NodeJS.Timeout;

  constructor(
    instanceId: string,
    denied: BlockList,
    clock: Clock,
    log: Logger,
    sockets: () => ResponderSockets,
  ) {
    this.#instanceId = instanceId;
    this.denied = denied;
    this.clock = clock;
    this.log = log;
    this.pool = new ClientPool(denied);
    this.#sockets = sockets;
    this.#timer = setInterval(() => this.#tick(), 1000);
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
      from: this.#instanceId,
      id: detach(packet.id),
      peer: detach(packet.from),
      nowMs,
      credits: kind === "websocket" ? INITIAL_CREDITS : 0,
      lenientSeq: true,
    });
    session.receive(packet, packet.seq ?? 0, nowMs);
    const exchange =
      kind === "websocket"
        ? new WebSocketExchange(this, session, packet)
        : new HttpExchange(this, session, packet);
    this.#exchanges.set(key, exchange);
    this.#keepAlive.add(exchange);
    exchange.start();
    this.pump(exchange);
  }

  packet(packet: Packet): void {
    const nowMs = this.clock.nowMs();
    for (const { id, seq } of packet.ids ?? [{ id: packet.id, seq: packet.seq }])
      this.#exchanges.get(keyOf(packet.from, id))?.packet(packet, seq, nowMs);
  }

  pump(exchange: Exchange): void {
    const { session } = exchange;
    for (let packet = session.takePacket(); packet !== undefined; packet = session.takePacket()) {
      if (this.log.isDebug)
        this.log.debug("packet out", {
          to: session.peer,
          id: packet.id,
          type: packet.type,
          seq: packet.seq,
        });
      this.#sockets().send(session.peer, packet, session.routerResp);
    }
    if (session.ended && !session.hasQueued) this.#forget(exchange);
  }

  close(exchange: Exchange): void {
    this.#forget(exchange);
  }

  /** The backend is done; the rest goes to the proxy as credits allow. */
  finishWhenSent(exchange: Exchange): void {
    if (exchange.session.ended) this.#forget(exchange);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    for (const exchange of [...this.#exchanges.values()]) {
      exchange.session.cancel();
      this.pump(exchange);
      exchange.abandon();
    }
    await this.pool.close();
  }

  #forget(exchange: Exchange): void {
    this.#keepAlive.remove(exchange);
    this.#exchanges.delete(keyOf(exchange.session.peer, exchange.session.id));
  }

  #tick(): void {
    const { packets, expired } = this.#keepAlive.tick(this.clock.nowMs());
    for (const { to, packet, viaRouter } of packets) this.#sockets().send(to, packet, viaRouter);
    for (const exchange of expired) exchange.abandon();
  }
}

function keyOf(from: string, id: string): string {
  return `${from} ${id}`;
}
