import { type Clock, TimerWheel } from "@pushpin/clock";
import type { HandlerSettings } from "@pushpin/config";
import { type HttpStreamFormat, type PublishItem, parseInstruct } from "@pushpin/grip";
import type { Logger } from "@pushpin/log";
import { type TnetMap, toUtf8 } from "@pushpin/tnetstrings";
import { ID_LIST_MAX, KeepAliveSchedule, Packet, Session } from "@pushpin/zhttp";
import type { ResponderSockets } from "@pushpin/zhttp/sockets";
import { decodeAcceptRequest, encodeAcceptResult, type RpcReply } from "@pushpin/zrpc";
import { Hold, type HoldPorts } from "../core/hold.ts";
import { Sequencer } from "../core/sequencer.ts";
import { Subscriptions } from "../core/subscriptions.ts";

const TICK_MS = 250;

export interface EngineOptions {
  readonly instanceId: string;
  readonly settings: HandlerSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly clients: () => ResponderSockets;
  /** The SUB socket follows what is subscribed. */
  readonly onSubscribed: (channel: string, present: boolean) => void;
}

/** All held connections, their channels, and what is published to them. */
export class Engine {
  dropped = 0;
  readonly #options: EngineOptions;
  readonly #holds = new Map<string, Hold>();
  readonly #streams: Subscriptions<Hold>;
  readonly #polls: Subscriptions<Hold>;
  readonly #sequencer: Sequencer;
  readonly #keepAlive = new KeepAliveSchedule<Hold>();
  readonly #wheel: TimerWheel<Hold>;
  readonly #ports: HoldPorts;
  readonly #timer: NodeJS.Timeout;
  #ticks = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    const { settings, clock } = options;
    const first = (channel: string) => options.onSubscribed(channel, true);
    const last = (channel: string) => {
      if (this.#isSubscribed(channel)) return;
      this.#sequencer.forget(channel);
      options.onSubscribed(channel, false);
    };
    this.#streams = new Subscriptions(first, last);
    this.#polls = new Subscriptions(first, last);
    this.#sequencer = new Sequencer({
      waitMs: settings.message_wait,
      idTtlMs: settings.id_cache_ttl * 1000,
      isSubscribed: (channel) => this.#isSubscribed(channel),
    });
    this.#wheel = new TimerWheel(TICK_MS, 1024, clock.nowMs());
    this.#ports = {
      pump: (session) => this.#pump(session),
      ended: (hold) => this.#release(hold),
      schedule: (hold, afterMs) => this.#wheel.schedule(hold, clock.nowMs() + afterMs),
      dropped: () => {
        this.dropped += 1;
      },
    };
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  get holds(): number {
    return this.#holds.size;
  }

  /** The proxy hands over a response with instructions. */
  accept(args: TnetMap, reply: (result: RpcReply) => void): void {
    const { log, instanceId, clock, settings } = this.#options;
    const decoded = decodeAcceptRequest(args);
    if (!decoded.ok) {
      log.warn("malformed accept refused", { error: decoded.error });
      reply({ success: false, condition: "bad-request" });
      return;
    }
    const accept = decoded.value;
    const instruct = parseInstruct(accept.response);
    if (!instruct.ok) {
      reply({ success: false, condition: "bad-format", value: instruct.error });
      return;
    }
    if (instruct.value.hold === undefined) {
      reply({
        success: true,
        value: encodeAcceptResult({ accepted: false, response: instruct.value.response }),
      });
      return;
    }
    // Limit: connection_subscription_max channels; the first ones stay.
    const explicit = instruct.value.channels.slice(0, settings.connection_subscription_max);
    const channels = [
      ...new Set([
        ...(accept.channels ?? []),
        ...explicit.map((one) => (accept.channelPrefix ?? "") + one.name),
      ]),
    ];
    for (const state of accept.requests) {
      const key = keyOf(state.rid.sender, state.rid.id);
      if (this.#holds.has(key)) {
        log.error("accept of a request that is held already", { rid: key });
        continue;
      }
      const session = Session.resume({
        kind: "http",
        from: instanceId,
        peer: state.rid.sender,
        id: state.rid.id,
        inSeq: state.inSeq,
        outSeq: state.outSeq,
        outCredits: state.outCredits,
        routerResp: state.routerResp ?? false,
        nowMs: clock.nowMs(),
      });
      const hold = new Hold(this.#ports, session, instruct.value, channels);
      this.#holds.set(key, hold);
      this.#keepAlive.add(hold);
      const subscriptions = hold.isStream ? this.#streams : this.#polls;
      hold.start();
      for (const channel of channels) {
        subscriptions.add(channel, hold);
        if (log.level >= 2)
          log.info(
            `subscribe ${toUtf8(accept.origRequestData.uri)} channel=${toUtf8(channel)}${state.isRetry ? " retry" : ""}`,
          );
      }
    }
    reply({ success: true, value: encodeAcceptResult({ accepted: true }) });
  }

  /** A packet of a client whose connection is held here. */
  packet(packet: Packet): void {
    const nowMs = this.#options.clock.nowMs();
    for (const { id, seq } of packet.ids ?? [packet])
      this.#holds.get(keyOf(packet.from, id))?.packet(packet, seq, nowMs);
  }

  publish(item: PublishItem): void {
    for (const one of this.#sequencer.receive(item, this.#options.clock.nowMs()))
      this.#deliver(one);
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const hold of [...this.#holds.values()]) {
      hold.session.cancel();
      this.#pump(hold.session);
    }
  }

  #isSubscribed(channel: string): boolean {
    return this.#streams.of(channel) !== undefined || this.#polls.of(channel) !== undefined;
  }

  #deliver(item: PublishItem): void {
    const { log } = this.#options;
    const streams = item.httpStream === undefined ? undefined : this.#streams.of(item.channel);
    const polls = item.httpResponse === undefined ? undefined : this.#polls.of(item.channel);
    if (streams !== undefined && item.httpStream !== undefined)
      this.#stream(streams, item.httpStream);
    if (polls !== undefined && item.httpResponse !== undefined)
      for (const hold of [...polls]) hold.answer(item.httpResponse);
    if (log.level >= 2)
      log.info(
        `publish channel=${toUtf8(item.channel)} receivers=${(streams?.size ?? 0) + (polls?.size ?? 0)}`,
      );
  }

  /** One packet for up to 128 clients of a connection manager; those that are behind get their own. */
  #stream(holds: ReadonlySet<Hold>, format: HttpStreamFormat): void {
    if (format.action !== "send" || format.content.length === 0) {
      for (const hold of [...holds]) hold.stream(format);
      return;
    }
    const { instanceId, clients } = this.#options;
    const open = new Map<string, Packet>();
    const { content } = format;
    for (const hold of holds) {
      const { session } = hold;
      if (!session.multi || !session.takeOutCredits(content.length)) {
        hold.stream(format);
        continue;
      }
      let packet = open.get(session.peer);
      if (packet === undefined) {
        packet = new Packet();
        packet.from = instanceId;
        packet.body = content;
        packet.more = true;
        packet.multi = true;
        packet.ids = [];
        open.set(session.peer, packet);
      }
      const ids = packet.ids as { id: string; seq: number }[];
      ids.push({ id: session.id, seq: session.nextOutSeq() });
      if (ids.length === ID_LIST_MAX) {
        clients().send(session.peer, packet, false);
        open.delete(session.peer);
      }
      hold.delivered();
    }
    for (const [to, packet] of open) clients().send(to, packet, false);
  }

  #pump(session: Session): void {
    for (let packet = session.takePacket(); packet !== undefined; packet = session.takePacket())
      // Data by id list goes by PUB; one session's packets must not overtake each other on two links.
      this.#options.clients().send(session.peer, packet, false);
  }

  #release(hold: Hold): void {
    const { session } = hold;
    this.#wheel.cancel(hold);
    const subscriptions = hold.isStream ? this.#streams : this.#polls;
    for (const channel of hold.channels) subscriptions.remove(channel, hold);
    // What still waits for credits keeps its session until the client has taken it.
    if (!session.ended && session.hasQueued) return;
    this.#holds.delete(keyOf(session.peer, session.id));
    this.#keepAlive.remove(hold);
  }

  #tick(): void {
    const nowMs = this.#options.clock.nowMs();
    this.#wheel.advance(nowMs, (hold) => hold.timedOut());
    this.#ticks += 1;
    if (this.#ticks % (1000 / TICK_MS) !== 0) return;
    for (const item of this.#sequencer.expire(nowMs)) this.#deliver(item);
    const { packets, expired } = this.#keepAlive.tick(nowMs);
    for (const { to, packet } of packets) this.#options.clients().send(to, packet, false);
    for (const hold of expired) this.#release(hold);
  }
}

function keyOf(sender: string, id: string): string {
  return `${sender} ${id}`;
}
