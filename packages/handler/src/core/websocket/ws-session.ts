import type { WheelEntry, WheelNode } from "@pushpin/clock";
import {
  CHANNEL_FILTERS_MAX,
  type ControlMessage,
  contentFilterMismatch,
  type WsMessageType,
} from "@pushpin/grip";
import { type Bytes, sliceBytes, toByteString } from "@pushpin/tnetstrings";
import { decodeAnchor, encodeAnchor, TAKEOVER_TIMEOUT_MS } from "@pushpin/zhttp";
import type { ControlItem } from "@pushpin/zrpc";
import type { Filtered } from "../filter-runner.ts";
import { filterContext } from "../holds/delivery.ts";
import type { Subscription } from "../holds/hold.ts";
import type { Due } from "../link-timers.ts";
import type { PublishItem, WsMessageFormat } from "../publish-item.ts";
import type { Services } from "../services.ts";
import type { ControlOut } from "./control-out.ts";

/** Limit: items that wait for one session while a network filter decides. */
export const WS_QUEUE_MAX = 1000;
/** A queued send that is not acknowledged in this time ends the session. */
export const WS_ACK_TIMEOUT_MS = 8000;
/** Limit: bytes of a close reason, so that the frame stays a control frame. */
export const CLOSE_REASON_MAX_BYTES = 123;
const DEFAULT_CLOSE_CODE = 1000;
const INTERNAL_ERROR_CODE = 1011;

interface WsContent {
  readonly type: WsMessageType;
  readonly content: Bytes;
}

export interface WsSessionOwner {
  readonly services: Services;
  readonly out: ControlOut;
  remove(session: WsSession): void;
  /** What a successor of ours needs for this session is no longer what it was. */
  changed(session: WsSession): void;
}

/** What a proxy says about a WebSocket when it hands it to us. */
export type Here = Pick<
  ControlItem,
  "route" | "separateStats" | "debug" | "channelPrefix" | "trusted"
>;

/** A WebSocket that stays at the proxy; its subscriptions are here (handler.md 5). */
export class WsSession implements Due {
  wheel?: WheelNode;
  readonly cid: string;
  readonly uri: string;
  /** Instance id of the proxy; follows the newest packet. */
  peer: string;
  route: string | undefined;
  statsRoute = "";
  channelPrefix = "";
  debug = false;
  trusted = false;
  sid = "";
  isClosed = false;
  expiresAtMs = 0;
  /** The proxy keeps anchors. */
  hasKeeper = false;
  /** By full name. */
  readonly channels = new Map<string, Subscription>();
  readonly #owner: WsSessionOwner;
  #meta = new Map<string, string>();
  #keepAlive: WsContent | undefined;
  #delayed:
    | { readonly content: WsContent; readonly dueMs: number; readonly timer: SessionTimer }
    | undefined;
  #acks: Map<string, SessionTimer> | undefined;
  #nextReqId = 0;
  #filtering = false;
  #queue: PublishItem[] = [];

  constructor(owner: WsSessionOwner, cid: string, uri: string, peer: string) {
    this.#owner = owner;
    this.cid = cid;
    this.uri = uri;
    this.peer = peer;
  }

  configure(here: Here): void {
    this.route = here.route;
    this.statsRoute = here.separateStats ? (here.route ?? "") : "";
    this.channelPrefix = here.channelPrefix ?? "";
    this.debug = here.debug ?? false;
    this.trusted = here.trusted ?? false;
  }

  /** The proxy is there; one that can have a successor may also be away for a while. */
  refresh(ttlS: number, nowMs: number): void {
    this.expiresAtMs = nowMs + ttlS * 1000 + (this.hasKeeper ? TAKEOVER_TIMEOUT_MS : 0);
    if (this.wheel === undefined) this.#owner.services.wheel.schedule(this, this.expiresAtMs);
  }

  /** The time to live may be over. */
  due(nowMs: number): void {
    if (this.expiresAtMs > nowMs) this.#owner.services.wheel.schedule(this, this.expiresAtMs);
    else this.#owner.remove(this);
  }

  /** Subscriptions and timers go. */
  end(): void {
    this.isClosed = true;
    const { services } = this.#owner;
    services.wheel.cancel(this);
    if (this.#delayed !== undefined) services.wheel.cancel(this.#delayed.timer);
    for (const timer of this.#acks?.values() ?? []) services.wheel.cancel(timer);
    for (const channel of this.channels.keys()) services.subscriptions.removeWs(channel, this);
    this.channels.clear();
  }

  /** A subscription of the route: full name, no limit, stays. */
  subscribeImplicit(channel: string, nowMs: number): void {
    this.#owner.changed(this);
    this.#subscribe(
      channel,
      { name: channel, filters: [], isImplicit: true, prevId: undefined },
      nowMs,
    );
  }

  /** All a successor of ours needs; `wallOffsetMs` is wall clock minus our time. */
  anchor(wallOffsetMs: number): string {
    return encodeAnchor({
      channels: this.channels,
      meta: this.#meta,
      keepAlive: this.#keepAlive,
      sid: this.sid,
      delayed:
        this.#delayed === undefined
          ? undefined
          : {
              content: this.#delayed.content,
              dueWallMs: Math.round(this.#delayed.dueMs + wallOffsetMs),
            },
    });
  }

  /** Goes on where a predecessor of this process has left off. */
  restore(text: string, wallOffsetMs: number, nowMs: number): void {
    const anchor = readAnchor(text);
    if (anchor === undefined) return;
    for (const [channel, subscription] of anchor.channels)
      this.#add(channel, { ...subscription, prevId: undefined }, nowMs);
    this.#meta = anchor.meta;
    this.#keepAlive = anchor.keepAlive;
    this.sid = anchor.sid;
    if (anchor.delayed === undefined) return;
    this.#delay(anchor.delayed.content, Math.max(anchor.delayed.dueWallMs - wallOffsetMs, nowMs));
  }

  control(message: ControlMessage, nowMs: number): void {
    this.#owner.changed(this);
    switch (message.type) {
      case "subscribe":
        this.#subscribeExplicit(message.channel, message.filters, nowMs);
        return;
      case "unsubscribe": {
        const channel = this.channelPrefix + message.channel;
        const subscription = this.channels.get(channel);
        if (subscription === undefined || subscription.isImplicit) return;
        this.channels.delete(channel);
        this.#owner.services.subscriptions.removeWs(channel, this);
        return;
      }
      case "detach":
        this.#send({ type: "detach" });
        return;
      case "session":
        this.sid = message.id ?? "";
        if (this.sid !== "") this.#owner.services.outputs.storeSession(this.sid, new Map());
        return;
      case "set-meta":
        if (message.value === undefined) this.#meta.delete(message.name);
        else this.#meta.set(message.name, message.value);
        return;
      case "keep-alive":
        this.#keepAlive =
          message.content === undefined
            ? undefined
            : { type: message.messageType, content: message.content };
        if (message.content === undefined) this.#send({ type: "keep-alive-setup" });
        else
          this.#send({
            type: "keep-alive-setup",
            timeout: message.timeoutS,
            keepAliveMode: message.mode,
          });
        return;
      case "send-delayed": {
        this.flushDelayed(nowMs);
        const content = { type: message.messageType, content: message.content };
        this.#delay(content, nowMs + message.timeoutS * 1000);
        return;
      }
      case "flush-delayed":
        this.flushDelayed(nowMs);
    }
  }

  /** The proxy's timer asks for the content of the keep-alive. */
  sendKeepAlive(): void {
    const keepAlive = this.#keepAlive;
    if (keepAlive === undefined) return;
    this.#owner.services.stats.activity(this.statsRoute, 1);
    this.#send({
      type: "send",
      contentType: keepAlive.type,
      message: keepAlive.content,
    });
  }

  acknowledged(reqId: string): void {
    const timer = this.#acks?.get(reqId);
    if (timer === undefined) return;
    this.#owner.services.wheel.cancel(timer);
    this.#acks?.delete(reqId);
  }

  #delay(content: WsContent, dueMs: number): void {
    const timer = new SessionTimer((nowMs) => this.flushDelayed(nowMs));
    this.#delayed = { content, dueMs, timer };
    this.#owner.services.wheel.schedule(timer, dueMs);
  }

  flushDelayed(nowMs: number): void {
    const delayed = this.#delayed;
    if (delayed === undefined) return;
    this.#delayed = undefined;
    this.#owner.changed(this);
    const { wheel } = this.#owner.services;
    wheel.cancel(delayed.timer);
    const reqId = String(this.#nextReqId);
    this.#nextReqId += 1;
    this.#send({
      type: "send",
      contentType: delayed.content.type,
      message: delayed.content.content,
      queue: true,
      reqId,
    });
    const timer = new SessionTimer(() => {
      this.#send({ type: "cancel" });
      this.#owner.remove(this);
    });
    this.#acks ??= new Map();
    this.#acks.set(reqId, timer);
    wheel.schedule(timer, nowMs + WS_ACK_TIMEOUT_MS);
  }

  /** True if the item can be sent as it is, along with others. */
  isPlain(item: PublishItem): boolean {
    return (
      !this.#filtering && !this.isClosed && this.channels.get(item.channel)?.filters.length === 0
    );
  }

  /** An item for this very connection; false if there is nothing in it for a WebSocket. */
  direct(item: PublishItem): boolean {
    const format = item.wsMessage;
    if (format === undefined || this.isClosed) return false;
    if (format.action === "send")
      this.#send({ type: "send", contentType: format.type, message: format.content });
    else this.#act(format);
    return true;
  }

  /** False if it came too late for this session. */
  deliver(item: PublishItem, nowMs: number): boolean {
    if (this.isClosed) return false;
    if (this.#filtering) {
      // Limit: WS_QUEUE_MAX
      if (this.#queue.length >= WS_QUEUE_MAX) return false;
      this.#queue.push(item);
      return true;
    }
    this.#process(item, nowMs);
    return true;
  }

  #subscribeExplicit(name: string, filters: readonly string[], nowMs: number): void {
    const { settings } = this.#owner.services;
    if (this.channels.size >= settings.connectionSubscriptionMax) return; // Limit: connectionSubscriptionMax
    // Limit: CHANNEL_FILTERS_MAX
    if (filters.length > CHANNEL_FILTERS_MAX) {
      this.#close(INTERNAL_ERROR_CODE, this.debug ? "too many filters" : "");
      return;
    }
    const channel = this.channelPrefix + name;
    const isImplicit = this.channels.get(channel)?.isImplicit ?? false;
    this.#subscribe(channel, { name, filters, isImplicit, prevId: undefined }, nowMs);
  }

  #subscribe(channel: string, subscription: Subscription, nowMs: number): void {
    if (!this.channels.has(channel))
      this.#owner.services.log.info(`subscribe ${this.uri} channel=${channel}`);
    this.#add(channel, subscription, nowMs);
  }

  #add(channel: string, subscription: Subscription, nowMs: number): void {
    const isNew = !this.channels.has(channel);
    this.channels.set(channel, subscription);
    if (isNew) this.#owner.services.subscriptions.addWs(channel, this, nowMs);
  }

  #process(item: PublishItem, nowMs: number): void {
    const format = item.wsMessage;
    const subscription = this.channels.get(item.channel);
    if (format === undefined || subscription === undefined) return;
    if (format.action !== "send") {
      item.receipt?.settle("delivered");
      this.#act(format);
      return;
    }
    const mismatch = contentFilterMismatch(subscription.filters, format.contentFilters);
    if (mismatch !== undefined) {
      item.receipt?.settle("filtered");
      this.#drop(mismatch);
      return;
    }
    if (subscription.filters.length === 0) {
      item.receipt?.settle("delivered");
      this.#send({
        type: "send",
        contentType: format.type,
        message: format.content,
      });
      return;
    }
    this.#filtering = true;
    const filtered = this.#owner.services.filters.run(
      {
        filters: subscription.filters,
        context: filterContext(item, this.#meta, this.channels),
        origin: this,
        content: format.content,
      },
      nowMs,
      (later, laterMs) => {
        this.#filtered(later, item, format);
        while (!this.#filtering && !this.isClosed) {
          const next = this.#queue.shift();
          if (next === undefined) return;
          this.#process(next, laterMs);
        }
      },
    );
    if (filtered !== undefined) this.#filtered(filtered, item, format);
  }

  #filtered(filtered: Filtered, item: PublishItem, format: WsMessageFormat): void {
    this.#filtering = false;
    item.receipt?.settle(filtered.action === "send" && !this.isClosed ? "delivered" : "filtered");
    if (this.isClosed) return;
    if (filtered.action === "send")
      this.#send({
        type: "send",
        contentType: format.type,
        message: filtered.content,
      });
    else if (filtered.action === "error") this.#drop(`filter error: ${filtered.text}`);
  }

  #act(format: WsMessageFormat): void {
    if (format.action === "close")
      this.#close(format.code ?? DEFAULT_CLOSE_CODE, format.reason ?? "");
    else if (format.action === "refresh") this.#send({ type: "refresh" });
  }

  #drop(text: string): void {
    this.#owner.services.log.debug("item dropped", { cid: this.cid, text });
    if (this.debug) this.#close(INTERNAL_ERROR_CODE, text);
  }

  #close(code: number, reason: Bytes): void {
    this.isClosed = true; // nothing is sent behind a close
    this.#send({
      type: "close",
      code,
      reason: truncateUtf8(reason, CLOSE_REASON_MAX_BYTES),
    });
  }

  #send(item: Omit<ControlItem, "cid">): void {
    this.#owner.out.add(this.peer, { ...item, cid: this.cid });
  }
}

interface WsAnchor {
  readonly channels: ReadonlyMap<string, Subscription>;
  readonly meta: Map<string, string>;
  readonly keepAlive: WsContent | undefined;
  readonly sid: string;
  readonly delayed: { readonly content: WsContent; readonly dueWallMs: number } | undefined;
}

function readAnchor(text: string): WsAnchor | undefined {
  const anchor = decodeAnchor(text) as Partial<WsAnchor> | null | undefined;
  const isOurs =
    anchor?.channels instanceof Map &&
    [...anchor.channels.values()].every((one) => Array.isArray(one?.filters)) &&
    anchor.meta instanceof Map &&
    typeof anchor.sid === "string";
  return isOurs ? (anchor as WsAnchor) : undefined;
}

class SessionTimer implements Due, WheelEntry {
  wheel?: WheelNode;
  readonly #run: (nowMs: number) => void;

  constructor(run: (nowMs: number) => void) {
    this.#run = run;
  }

  due(nowMs: number): void {
    this.#run(nowMs);
  }
}

/** At most `max` bytes, cut between characters. */
export function truncateUtf8(bytes: Bytes, max: number): string {
  const text = toByteString(bytes);
  if (text.length <= max) return text;
  let end = max;
  while (end > 0 && (text.charCodeAt(end) & 0xc0) === 0x80) end -= 1;
  return sliceBytes(text, 0, end) as string;
}
