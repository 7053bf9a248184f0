import { TimerWheel } from "@pushpin/clock";
import { Receipt, type SessionDetectRule } from "@pushpin/grip";
import type { Logger } from "@pushpin/log";
import type { TnetMap } from "@pushpin/tnetstrings";
import { KeepAliveSchedule, type Packet, readResume, Session } from "@pushpin/zhttp";
import type { ControlPacket, RpcReply } from "@pushpin/zrpc";
import { AcceptService } from "./accept.ts";
import { Confirmations } from "./confirmations.ts";
import { FilterRunner } from "./filter-runner.ts";
import { type Hold, holdKey } from "./holds/hold.ts";
import { ResponseHold } from "./holds/response-hold.ts";
import { resumeHold } from "./holds/resume.ts";
import { StreamHold } from "./holds/stream-hold.ts";
import { Greetings } from "./greetings.ts";
import { InternalRequests } from "./internal-requests.ts";
import { type Due, LinkTimers } from "./link-timers.ts";
import { NetworkFilters } from "./network-filters.ts";
import type { PublishItem } from "./publish-item.ts";
import { ReportedItems } from "./reported-items.ts";
import { Publisher } from "./publisher.ts";
import { Sequencer } from "./sequencer.ts";
import type { CoreSettings, HandlerOutputs, Services } from "./services.ts";
import type { HandlerStats } from "./stats-port.ts";
import { type ChannelSubscribers, Subscriptions } from "./subscriptions.ts";
import { UpdateQueue } from "./update-queue.ts";
import { WsControl } from "./websocket/ws-control.ts";
import type { WsSession } from "./websocket/ws-session.ts";

/** How often `tick` wants to be called. */
export const TICK_MS = 25;
const WHEEL_SLOTS = 4096;
const SECOND_MS = 1000;
/**
 * What went to a proxy is kept for once to twice this time, in case it dies: longer than one that hangs is left
 * alone (`hang_timeout`), and its successor takes to start.
 */
const REPLAY_AGE_S = 30;
/** Publishers who ask for receipts wait this long at most. */
const RECEIPT_WAIT_MS = 1000;

export interface CoreOptions {
  readonly settings: CoreSettings;
  readonly log: Logger;
  readonly outputs: HandlerOutputs;
  readonly stats: HandlerStats;
  readonly random: () => number;
  readonly nowMs: number;
  /** Where the numbers of what is sent to proxies begin: behind those of the handler before this one. */
  readonly firstControlSeq: number;
  readonly storeDetectRules?: (domain: string, rules: readonly SessionDetectRule[]) => void;
}

type Channel = ChannelSubscribers<ResponseHold, StreamHold, WsSession>;

/** The whole handler without its sockets: packets, items and the time in, outputs out. */
export class HandlerCore {
  readonly services: Services;
  readonly ws: WsControl;
  readonly confirmations = new Confirmations();
  readonly #holds = new Map<string, Hold>();
  readonly #keepAlives = new KeepAliveSchedule<Hold>();
  readonly #accept: AcceptService;
  readonly #publisher: Publisher;
  readonly #network: NetworkFilters;
  readonly #reported = new ReportedItems();
  readonly #receipts = new Set<{
    readonly receipts: readonly Receipt[];
    readonly dueMs: number;
    readonly done: (receipts: readonly Receipt[]) => void;
  }>();
  #nextSecondMs: number;
  #seconds = 0;
  #nowMs: number;

  constructor(options: CoreOptions) {
    const { settings, outputs, log, stats, random, nowMs } = options;
    this.#nowMs = nowMs;
    this.#nextSecondMs = nowMs + SECOND_MS;
    const wheel = new TimerWheel<Due>(TICK_MS, WHEEL_SLOTS, nowMs);
    const requests = new InternalRequests(settings.instanceId, settings.recoverConcurrency, {
      sendFirst: (packet) => outputs.requestFirst(packet),
      send: (to, packet) => outputs.requestFollowUp(to, packet),
      epochs: () => outputs.proxyEpochs(),
    });
    this.#network = new NetworkFilters(requests, wheel);
    const sequencer = new Sequencer<PublishItem>({
      messageWaitMs: settings.messageWaitMs,
      idCacheTtlMs: settings.idCacheTtlMs,
    });
    const subscriptions = new Subscriptions<ResponseHold, StreamHold, WsSession>(
      settings.subscriptionLingerMs,
      {
        onActive: (channel) => outputs.subscribe(channel),
        onIdle: (channel) => {
          outputs.unsubscribe(channel);
          sequencer.dropChannel(channel);
        },
        onCount: (mode, channel, count) => stats.subscribers(mode, channel, count, this.#nowMs),
        onSettled: (channel) => this.#settled(channel),
      },
    );
    this.services = {
      settings,
      log,
      wheel,
      outputs,
      stats,
      subscriptions,
      sequencer,
      updates: new UpdateQueue(),
      requests,
      links: new LinkTimers(wheel),
      filters: new FilterRunner(this.#network),
      random,
      greetings: new Greetings(settings.instanceId, (to, packet, viaRouter) =>
        outputs.toClient(to, packet, viaRouter),
      ),
      release: (hold) => this.#release(hold),
    };
    this.ws = new WsControl(this.services, options.firstControlSeq, {
      synced: (proxy, number) => this.confirmations.confirmed("proxy", proxy, number),
      reported: (ids) => this.reported(ids, this.#nowMs),
    });
    this.#publisher = new Publisher(this.services, this.ws);
    this.#accept = new AcceptService({
      services: this.services,
      has: (key) => this.#holds.has(key),
      add: (hold, addedMs) => this.#add(hold, addedMs),
      storeDetectRules: (domain, rules) => options.storeDetectRules?.(domain, rules),
    });
  }

  /** Settings that may change while clients are held; the others stay as they were. */
  configure(settings: CoreSettings, nowMs: number): void {
    this.#enter(nowMs);
    this.services.settings = settings;
    this.services.sequencer.configure(settings);
    this.#publisher.reconfigure(nowMs);
  }

  /** Every input begins here, except clients that are handed over. */
  #enter(nowMs: number): void {
    this.#nowMs = nowMs;
    this.services.greetings.flush();
  }

  get holds(): number {
    return this.#holds.size;
  }

  accept(args: TnetMap, from: string | undefined, nowMs: number): RpcReply {
    this.#enter(nowMs);
    return this.#accept.accept(args, from, nowMs);
  }

  /** From a connection manager. */
  clientPacket(packet: Packet, nowMs: number): void {
    if (packet.type === "resume") {
      this.#nowMs = nowMs;
      this.#resume(packet, nowMs);
      return;
    }
    this.#enter(nowMs);
    const { from } = packet;
    if (packet.ids === undefined) {
      this.#holds.get(holdKey(from, packet.id))?.receive(packet, packet.seq, nowMs);
      return;
    }
    for (const { id, seq } of packet.ids)
      this.#holds.get(holdKey(from, id))?.receive(packet, seq, nowMs);
  }

  /** A connection manager hands us a client of our predecessor. */
  #resume(packet: Packet, nowMs: number): void {
    const { settings, log } = this.services;
    const resumable = readResume(packet, settings.instanceId, nowMs);
    if (resumable === undefined || this.#holds.has(holdKey(packet.from, packet.id))) return;
    const hold = resumeHold(this.services, resumable, nowMs);
    if (hold === undefined) {
      log.warn("anchor of a hold not readable, client dropped", { id: packet.id });
      const session = Session.resume(resumable);
      session.cancel();
      const cancel = session.takePacket();
      if (cancel !== undefined)
        this.services.outputs.toClient(session.peer, cancel, session.routerResp);
      return;
    }
    this.#add(hold.hold, nowMs);
    hold.start();
  }

  /** From the proxy, about a request of ours. */
  requestPacket(packet: Packet, nowMs: number): void {
    this.#enter(nowMs);
    this.services.requests.receive(packet, nowMs);
    this.ws.out.flush();
  }

  /** A proxy has started. */
  proxyStarted(proxy: string, nowMs: number): void {
    this.#enter(nowMs);
    this.services.requests.proxyStarted(proxy, nowMs);
    this.ws.out.flush();
  }

  wsControl(packet: ControlPacket, nowMs: number): void {
    this.#enter(nowMs);
    this.ws.receive(packet, nowMs);
  }

  publish(items: readonly PublishItem[], nowMs: number): void {
    this.#enter(nowMs);
    for (const item of items) {
      if (item.connection === undefined) this.#publisher.publish(item, nowMs);
      else this.#publishTo(item.connection, item, nowMs);
    }
    this.ws.out.flush();
  }

  /** `done` is called when whoever has to do with it has it; what waits here for whatever reason does not count. */
  publishConfirmed(items: readonly PublishItem[], nowMs: number, done: () => void): void {
    this.confirmations.begin();
    this.publish(items, nowMs);
    const { sequencer } = this.services;
    const keys: string[] = [];
    for (const item of items) {
      // One that may wait for another is with nobody yet; alone it would not have been sent to anybody.
      const mayWait = item.prevId !== undefined && items.length > 1;
      const key = item.id === undefined || mayWait ? undefined : sequencer.keyOf(item);
      if (key !== undefined) keys.push(key);
    }
    this.confirmations.end(keys, done, nowMs);
  }

  /** A process has items of these ids of the handler before us. */
  reported(reports: readonly string[], nowMs: number): void {
    for (const key of this.#reported.add(reports)) this.services.sequencer.noteSeen(key, nowMs);
  }

  /** `done` is called when all is decided, or after `RECEIPT_WAIT_MS` with what is known. */
  publishWithReceipts(
    items: readonly PublishItem[],
    nowMs: number,
    done: (receipts: readonly Receipt[]) => void,
  ): void {
    const receipts = items.map(() => new Receipt());
    this.publish(
      items.map((item, i) => ({ ...item, receipt: receipts[i] as Receipt })),
      nowMs,
    );
    if (receipts.every((one) => one.isSettled)) done(receipts);
    else this.#receipts.add({ receipts, dueMs: nowMs + RECEIPT_WAIT_MS, done });
  }

  #publishTo(id: string, item: PublishItem, nowMs: number): void {
    const { receipt } = item;
    if (receipt !== undefined) receipt.isTaken = true;
    const one = this.#holds.get(id) ?? this.ws.get(id);
    if (one === undefined) return;
    if (receipt !== undefined) receipt.receivers = 1;
    const isDone = one.direct(item, nowMs);
    receipt?.settle(isDone ? "delivered" : "dropped");
  }

  #answerReceipts(nowMs: number): void {
    for (const waiting of this.#receipts) {
      if (nowMs < waiting.dueMs && !waiting.receipts.every((one) => one.isSettled)) continue;
      this.#receipts.delete(waiting);
      waiting.done(waiting.receipts);
    }
  }

  /** Whatever may have been missed is asked for. */
  recover(nowMs: number): void {
    this.#enter(nowMs);
    this.services.sequencer.forgetAllLastIds();
    for (const hold of this.#holds.values()) update(hold, "low", nowMs);
  }

  /** WebSocket-over-HTTP sessions of a channel ask their backend. */
  refreshChannel(channel: string): readonly string[] {
    return [...(this.services.subscriptions.get(channel)?.ws ?? [])].map((one) => one.cid);
  }

  /** Whether a connection is here: `<sender>:<id>`, or the cid of a WebSocket. */
  knows(id: string): boolean {
    return this.#holds.has(id) || this.ws.has(id);
  }

  /** Something is let through at a rate: ticks have to come every `TICK_MS`. */
  get isWaiting(): boolean {
    if (this.#receipts.size > 0 || this.confirmations.size > 0) return true;
    return this.#publisher.isWaiting || this.#network.isWaiting || this.services.updates.isWaiting;
  }

  tick(nowMs: number): void {
    this.#enter(nowMs);
    const { wheel, updates, subscriptions } = this.services;
    wheel.advance(nowMs, (entry) => entry.due(nowMs));
    subscriptions.settle(nowMs);
    // Without a proxy nobody could ask a backend, and a client given back would miss what is published.
    if (this.services.outputs.isProxyThere()) updates.advance(nowMs);
    this.#publisher.advance(nowMs);
    this.#network.advance(nowMs);
    if (this.#receipts.size > 0) this.#answerReceipts(nowMs);
    this.confirmations.expire(nowMs);
    if (nowMs >= this.#nextSecondMs) {
      this.#nextSecondMs = Math.max(this.#nextSecondMs + SECOND_MS, nowMs);
      this.#second(nowMs);
    }
    this.ws.sendAnchors();
    this.ws.out.flush();
  }

  #second(nowMs: number): void {
    const { sequencer, subscriptions, requests, outputs } = this.services;
    for (const item of sequencer.expire(nowMs)) this.#publisher.deliver(item, nowMs);
    subscriptions.expire(nowMs);
    requests.tick(nowMs);
    const { packets, expired } = this.#keepAlives.tick(nowMs);
    for (const { to, packet, viaRouter } of packets) outputs.toClient(to, packet, viaRouter);
    for (const hold of expired) hold.expired(nowMs);
    this.#seconds += 1;
    if (this.#seconds % REPLAY_AGE_S === 0) this.ws.out.age();
  }

  #settled(channel: Channel): void {
    if (!this.services.settings.updateOnFirstSubscription) return;
    for (const hold of [...channel.response]) hold.update("low", this.#nowMs);
    for (const hold of [...channel.stream]) hold.update("low", this.#nowMs);
  }

  #add(hold: Hold, nowMs: number): void {
    this.#holds.set(hold.key, hold);
    this.#keepAlives.add(hold);
    const { client, origin } = hold;
    this.services.stats.connectionAdded(
      {
        id: hold.key,
        kind: "http",
        route: origin.statsRoute,
        peerAddress: client.logicalPeerAddress ?? client.peerAddress ?? "",
        secure: client.https ?? false,
        unreportedMs: client.unreportedTimeMs ?? 0,
      },
      nowMs,
    );
  }

  #release(hold: Hold): void {
    if (this.#holds.get(hold.key) === hold) this.#holds.delete(hold.key);
    this.#keepAlives.remove(hold);
  }
}

function update(hold: Hold, priority: "low" | "high", nowMs: number): void {
  if (hold instanceof ResponseHold || hold instanceof StreamHold) hold.update(priority, nowMs);
}
