import { type Clock, TickPace } from "@pushpin/clock";
import type { HandlerSettings } from "@pushpin/config";
import { decodePublishMessage, type PublishItem, type Receipt } from "@pushpin/grip";
import type { Logger } from "@pushpin/log";
import { encode, type Result, type TnetInput, type TnetMap } from "@pushpin/tnetstrings";
import { decodeStatsPacket, readConnectionMaxima, type StatsRecorder } from "@pushpin/stats";
import { encodeControlPacket, type RpcReply, type RpcResult } from "@pushpin/zrpc";
import { type CommandTarget, collectReplies, runCommand, type ZmqUris } from "../core/commands.ts";
import type { ControlTarget } from "../core/control-api.ts";
import { type PartState, partStates, type ProxyHealth, readProxyHealth } from "../core/health.ts";
import { HandlerCore, TICK_MS } from "../core/handler-core.ts";
import type { CoreSettings, HandlerOutputs } from "../core/services.ts";
import { answerInspect, SessionStore } from "../core/session-store.ts";
import { controlSeqBase } from "../core/websocket/control-out.ts";
import type { HandlerSocketEvents, HandlerSockets } from "./handler-sockets.ts";
import { RetrySender } from "./retry-sender.ts";

export interface EngineOptions {
  readonly instanceId: string;
  readonly settings: HandlerSettings;
  /** Clients go on after our death: those who keep it are given what that takes. */
  readonly isSucceeded: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  readonly stats: StatsRecorder;
  /** Known once they are open; nothing is sent before. */
  readonly sockets: () => HandlerSockets;
}

const STATS_FLUSH_MS = 100;
/** A proxy that has not said how it is by then is taken for gone. */
const HEALTH_TIMEOUT_MS = 1000;

/** Joins the core to the sockets and to the clock. */
export class Engine implements HandlerSocketEvents, ControlTarget, CommandTarget {
  /** Publish messages that could not be read. */
  malformed = 0;
  readonly core: HandlerCore;
  readonly uris: ZmqUris;
  readonly #options: EngineOptions;
  readonly #retries: RetrySender;
  readonly #store: SessionStore | undefined;
  #settings: HandlerSettings;
  readonly #pace = new TickPace(TICK_MS);
  #ticker: NodeJS.Timeout;
  #isOpen = false;
  #isClosed = false;
  #isAsking = false;
  #flushMs = 0;
  #secondMs = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#settings = options.settings;
    const { settings, clock, log, stats } = options;
    this.#retries = new RetrySender(log, () => options.sockets().retry);
    this.#store =
      settings.state_spec.length === 0
        ? undefined
        : new SessionStore((method, args, done) =>
            options.sockets().store?.callLater(method, args, done),
          );
    this.uris = zmqUris(settings);
    this.core = new HandlerCore({
      settings: coreSettings(options.instanceId, settings, clock),
      log,
      outputs: this.#outputs(),
      stats,
      random: Math.random,
      nowMs: clock.nowMs(),
      firstControlSeq: controlSeqBase(process.hrtime()),
      storeDetectRules: (domain, rules) => this.#store?.setDetectRules(domain, rules),
    });
    this.#ticker = setTimeout(this.#tick, TICK_MS);
  }

  /** The settings that are marked live; the others stay as they were. */
  reload(fresh: HandlerSettings): void {
    this.#settings = fresh;
    const { instanceId, settings, clock } = this.#options;
    const { subscription_linger, recover_concurrency } = settings;
    this.core.configure(
      coreSettings(instanceId, { ...fresh, subscription_linger, recover_concurrency }, clock),
      this.#nowMs(),
    );
  }

  /** No request of ours is under way. */
  get isQuiet(): boolean {
    return this.core.services.requests.size === 0;
  }

  stop(): void {
    this.#isClosed = true;
    this.#retries.close();
    clearTimeout(this.#ticker);
  }

  /** Keep-alives of idle clients come every second, and nothing follows from them: they do not wake the process up. */
  readonly onClientPacket: HandlerSocketEvents["onClientPacket"] = (packet) =>
    this.core.clientPacket(
      packet,
      packet.type === "keep-alive" ? this.#options.clock.nowMs() : this.#nowMs(),
    );

  readonly onRequestPacket: HandlerSocketEvents["onRequestPacket"] = (packet) =>
    this.core.requestPacket(packet, this.#nowMs());

  readonly onProxyStarted: HandlerSocketEvents["onProxyStarted"] = (proxy) => {
    if (this.#isOpen) this.core.proxyStarted(proxy, this.#nowMs());
    else this.#options.sockets().gathering.expect(proxy);
  };

  readonly onHandedOver = (_connmgr: string, ids: readonly string[]): void => {
    if (ids.length > 0) this.core.reported(ids, this.#nowMs());
  };

  /**
   * Takes what the handler before us has left, then lets publishers in. Called once the sockets are
   * open.
   */
  async open(): Promise<void> {
    const { clock } = this.#options;
    const openMs = clock.nowMs();
    const sockets = this.#options.sockets();
    sockets.start();
    sockets.clients.announce();
    await sockets.gathering.over();
    this.#isOpen = true;
    const { holds, ws } = this.core;
    if (holds + ws.size > 0)
      this.#options.log.info("clients of the handler before taken over", {
        holds,
        websockets: ws.size,
        tookMs: Math.round(clock.nowMs() - openMs),
      });
    await sockets.openPull();
  }

  readonly onWsControl: HandlerSocketEvents["onWsControl"] = (packet) => {
    this.#retries.heardOf(packet.from);
    if (packet.items.length === 0) this.#options.sockets().gathering.complete(packet.from);
    this.core.wsControl(packet, this.#nowMs());
    this.#askLater();
  };

  readonly onInspect: HandlerSocketEvents["onInspect"] = (method, args, from, reply) => {
    this.#retries.heardOf(from ?? "");
    if (method !== "inspect") reply({ success: false, condition: "method-not-found" });
    else answerInspect(args, this.#settings.share_all, this.#store, reply);
  };

  readonly onAccept: HandlerSocketEvents["onAccept"] = (method, args, from, reply) => {
    this.#retries.heardOf(from ?? "");
    for (const packet of readConnectionMaxima(args.get("conn-max")))
      this.#options.stats.fromProxy(packet, this.#nowMs());
    if (method === "accept") reply(this.core.accept(args, from, this.#nowMs()));
    else if (method !== "conn-max") reply({ success: false, condition: "method-not-found" });
  };

  readonly onCommand = (
    method: string,
    args: TnetMap,
    _from: string | undefined,
    reply: (reply: RpcReply) => void,
  ): void => runCommand(this, method, args, reply);

  readonly onPull = (frames: Buffer[]): void => {
    const [frame] = frames;
    this.#published(
      frame === undefined || frames.length > 1
        ? { ok: false, error: "expected a single part" }
        : decodePublishMessage(frame),
    );
  };

  readonly onPublished = (frames: Buffer[]): void => {
    const [topic, frame] = frames;
    this.#published(
      topic === undefined || frame === undefined || frames.length > 2
        ? { ok: false, error: "expected two parts" }
        : decodePublishMessage(frame, topic.toString("latin1")),
    );
  };

  readonly onProxyStats = (frame: Buffer): void => {
    const packet = decodeStatsPacket(frame);
    if (packet.ok) this.#options.stats.fromProxy(packet.value, this.#nowMs());
    else this.#options.log.debug("malformed stats packet dropped", { error: packet.error });
  };

  readonly onRetryUnroutable = (frames: Uint8Array[]): void => this.#retries.unroutable(frames);

  readonly onProxyGone = (proxy: string): void => {
    this.core.ws.out.noteGone(proxy);
    this.core.confirmations.gone(proxy);
  };

  readonly onConnmgrGone = (connmgr: string): void => this.core.confirmations.gone(connmgr);

  readonly onSynced = (connmgr: string, number: number): void => {
    this.core.confirmations.confirmed("connmgr", connmgr, number);
    this.#askLater();
  };

  publish(items: readonly PublishItem[], done?: () => void): void {
    if (done === undefined) {
      this.core.publish(items, this.#nowMs());
      return;
    }
    // Before anything is sent: what is asked at the end of this turn goes along with it.
    this.#askAtEnd();
    this.core.publishConfirmed(items, this.#nowMs(), done);
  }

  #askAtEnd(): void {
    if (!this.#isAsking) setImmediate(this.#ask);
    this.#isAsking = true;
  }

  /** Questions that had to wait for the answer to another. */
  #askLater(): void {
    if (this.core.confirmations.hasQuestions) this.#askAtEnd();
  }

  readonly #ask = (): void => {
    this.#isAsking = false;
    const { clients } = this.#options.sockets();
    for (const { to, number, ids } of this.core.confirmations.questions()) {
      if (to.kind === "connmgr") clients.sync(to.id, number, ids, true);
      else {
        const message = ids.length > 0 ? JSON.stringify(ids) : undefined;
        const items = [{ cid: "", type: "sync", reqId: String(number), message }] as const;
        const packet = { from: this.#options.instanceId, items };
        this.#options.sockets().wsControl(to.id, encode(encodeControlPacket(packet)));
      }
    }
  };

  recover(): void {
    this.core.recover(this.#nowMs());
  }

  knows(id: string): boolean {
    return this.core.knows(id);
  }

  refreshChannel(channel: string): readonly string[] {
    return this.core.refreshChannel(channel);
  }

  askProxy(method: string, args: TnetInput, done: (result: RpcResult) => void): void {
    const workers = this.#options.sockets().proxyCommands;
    if (workers.length === 0) return done({ success: false, condition: "service-unavailable" });
    const collect = collectReplies(workers.length, done);
    for (const one of workers) one.callLater(method, args, collect);
  }

  publishWithReceipts(
    items: readonly PublishItem[],
    done: (receipts: readonly Receipt[]) => void,
  ): void {
    this.core.publishWithReceipts(items, this.#nowMs(), done);
  }

  readiness(done: (parts: readonly PartState[]) => void): void {
    const { proxyCommands: workers, clients } = this.#options.sockets();
    const answers: ProxyHealth[] = [];
    let isDone = false;
    const finish = () => {
      if (isDone) return;
      isDone = true;
      clearTimeout(timer);
      done(partStates(answers, workers.length, clients.initiators));
    };
    const timer = setTimeout(finish, HEALTH_TIMEOUT_MS);
    for (const one of workers)
      one.callLater("health", {}, (result) => {
        answers.push(readProxyHealth(result));
        if (answers.length === workers.length) finish();
      });
    if (workers.length === 0) finish();
  }

  #published(item: Result<PublishItem[]>): void {
    if (item.ok) {
      this.core.publish(item.value, this.#nowMs());
      return;
    }
    this.malformed += 1;
    this.#options.log.warn("malformed publish message dropped", {
      error: item.error,
      dropped: this.malformed,
    });
  }

  readonly #tick = (): void => {
    const nowMs = this.#options.clock.nowMs();
    this.core.tick(nowMs);
    this.#askLater();
    if (this.#isClosed) return;
    this.#ticker = setTimeout(this.#tick, this.#pace.delayMs(this.core.isWaiting));
    if (nowMs >= this.#flushMs) {
      this.#flushMs = nowMs + STATS_FLUSH_MS;
      this.#options.stats.flush();
    }
    if (nowMs < this.#secondMs) return;
    this.#secondMs = nowMs + 1000;
    this.#options.stats.tick(nowMs);
  };

  /** The time of an event, which also wakes the process up. */
  #nowMs(): number {
    if (this.#pace.event() && !this.#isClosed) {
      clearTimeout(this.#ticker);
      this.#ticker = setTimeout(this.#tick, TICK_MS);
    }
    return this.#options.clock.nowMs();
  }

  #outputs(): HandlerOutputs {
    const { sockets } = this.#options;
    return {
      toClient: (to, packet, viaRouter) => {
        const { clients } = sockets();
        if (viaRouter && this.core.confirmations.isCollecting && clients.isBatchPeer(to))
          this.core.confirmations.sent("connmgr", to);
        clients.send(to, packet, viaRouter);
      },
      keepsAnchors: (to) => this.#options.isSucceeded && sockets().clients.isBatchPeer(to),
      retry: (to, retry) => this.#retries.send(to, retry),
      wsControl: (to, frame) => {
        const { confirmations, ws } = this.core;
        if (confirmations.isCollecting && ws.out.isOurs(to)) confirmations.sent("proxy", to);
        sockets().wsControl(to, frame);
      },
      isProxyThere: () => sockets().requests.responders > 0,
      proxyEpochs: () => sockets().requests,
      requestFirst: (packet) => sockets().requests.sendFirst(packet),
      requestFollowUp: (to, packet) => sockets().requests.send(to, packet),
      subscribe: (channel) => sockets().subscribe(channel),
      unsubscribe: (channel) => sockets().unsubscribe(channel),
      storeLastIds: (ids) => this.#store?.updateMany(ids),
      storeSession: (sid, lastIds) => this.#store?.createOrUpdate(sid, lastIds),
    };
  }
}

function coreSettings(
  instanceId: string,
  settings: HandlerSettings,
  clock: Clock,
): CoreSettings {
  return {
    instanceId,
    messageRate: settings.message_rate,
    messageHwm: settings.message_hwm,
    messageBlockSize: settings.message_block_size,
    messageWaitMs: settings.message_wait,
    idCacheTtlMs: settings.id_cache_ttl * 1000,
    updateOnFirstSubscription: settings.update_on_first_subscription,
    connectionSubscriptionMax: settings.connection_subscription_max,
    subscriptionLingerMs: settings.subscription_linger * 1000,
    wallOffsetMs: clock.wallMs() - clock.nowMs(),
    recoverConcurrency: settings.recover_concurrency,
  };
}

function zmqUris(settings: HandlerSettings): ZmqUris {
  const subSpecs = [...settings.push_in_sub_specs, ...settings.push_in_sub_spec];
  return {
    command: settings.command_spec[0],
    publishPull: settings.push_in_spec[0],
    publishSub: settings.push_in_sub_connect ? undefined : subSpecs[0],
  };
}
