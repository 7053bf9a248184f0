import {
  type Channel,
  contentFilterMismatch,
  type Instruct,
  withCors,
} from "@pushpin/grip";
import type { Bytes } from "@pushpin/tnetstrings";
import type { Received } from "@pushpin/zhttp";
import type { RequestState } from "@pushpin/zrpc";
import type { Filtered } from "../filter-runner.ts";
import type { InternalRequestData } from "../internal-requests.ts";
import type { LinkGroup, LinkMember } from "../link-timers.ts";
import type { HttpStreamFormat, PublishItem } from "../publish-item.ts";
import type { Services } from "../services.ts";
import type { Updatable } from "../update-queue.ts";
import { filterContext, filterInitialBody } from "./delivery.ts";
import { Hold, type HoldOrigin } from "./hold.ts";
import { channelsNow, type StreamInstruct } from "./anchor.ts";
import { LinkFetch, type LinkOwner } from "./link-fetch.ts";

/** Limit: items that wait for one client; the newest is dropped. */
export const STREAM_QUEUE_MAX = 100;
/** Limit: links one stream follows in a second; a backend that only links would spin otherwise. */
export const LINKS_PER_SECOND = 10;

//   starting ──body written──▶ holding ◀──▶ blocked (client takes no more)
//   holding ──update──▶ waiting-to-update ──▶ linking ──▶ holding
//   holding ──item with a network filter──▶ filtering ──▶ holding;  any ──close, error──▶ ending
type State =
  | "starting"
  | "holding"
  | "filtering"
  | "blocked"
  | "waiting-to-update"
  | "linking"
  | "ending";

/** A response kept open, to which items are appended (handler.md 4). */
export class StreamHold extends Hold implements Updatable, LinkMember, LinkOwner {
  state: State = "starting";
  linkGroup?: LinkGroup | undefined;
  /** Items given up for this client. */
  dropped = 0;
  #instruct: StreamInstruct;
  #isChain: boolean;
  #implicit: readonly string[];
  #queue: PublishItem[] | undefined;
  #link: LinkFetch | undefined;
  #pendingUpdate: "low" | "high" | undefined;
  #heldBefore = false;
  #active: Set<string> | undefined;
  #keepAliveDueMs = 0;
  #keepAliveDelayMs = 0;
  #linksFromMs = 0;
  #links = 0;
  #linkWaits = false;
  /** The connection manager has, or is about to get, an anchor that fits. */
  #isAnchored = false;

  constructor(
    services: Services,
    origin: HoldOrigin,
    state: RequestState,
    instruct: StreamInstruct,
    isChain: boolean,
    implicitChannels: readonly string[],
    nowMs: number,
  ) {
    super(services, origin, state, nowMs);
    this.#instruct = instruct;
    this.#isChain = isChain;
    this.#implicit = implicitChannels;
  }

  start(
    instruct: Instruct,
    isResponseSent: boolean,
    requestHeaders: readonly string[],
    nowMs: number,
  ): void {
    this.#subscribeImplicit(nowMs);
    if (instruct.response.body.length < this.session.outCredits) this.#anchorInstruct();
    if (!isResponseSent && !this.#writeStart(instruct, requestHeaders, nowMs)) return;
    this.flush();
    this.#startIsWritten(nowMs);
  }

  /** Goes on where a predecessor of this process has left off. */
  resume(nowMs: number): void {
    this.isResuming = true;
    this.#isAnchored = true; // by what the connection manager has given us
    this.#subscribeImplicit(nowMs);
    if (this.#isChain) this.#followLink(nowMs);
    else {
      if (this.hasNextLink) this.#pendingUpdate = "low"; // something may have been missed
      this.#enterHold(nowMs);
    }
    this.isResuming = false;
    this.greet();
  }

  /**
   * True if this item can be written along with others: nothing waits, and nothing of this client's
   * own has to be looked at. The caller writes it then and tells by `wrote`.
   */
  isPlain(item: PublishItem): boolean {
    if (this.state !== "holding" || this.#queue !== undefined) return false;
    const subscription = this.channels.get(item.channel);
    return (
      subscription !== undefined &&
      subscription.prevId === undefined &&
      subscription.filters.length === 0
    );
  }

  /** An item was written to this client outside. */
  wrote(item: PublishItem, nowMs: number): void {
    if (this.#instruct.keepAlive?.mode === "idle")
      this.#keepAliveDueMs = nowMs + this.#keepAliveDelayMs;
    if (this.#instruct.nextLink !== undefined) this.#noteActivity(item.channel);
  }

  /** An item for this very connection; false if there is nothing in it for a stream. */
  direct(item: PublishItem, nowMs: number): boolean {
    const format = item.httpStream;
    if (format === undefined || this.state === "ending" || this.isReleased) return false;
    if (format.action === "close") this.#end(nowMs);
    else if (format.action === "send") this.#writeItem(item, format.content, nowMs);
    else this.update("high", nowMs);
    return true;
  }

  /** False if the item was dropped for this client. */
  deliver(item: PublishItem, nowMs: number): boolean {
    if (this.state === "starting" || this.state === "ending" || this.isReleased) return false;
    if (this.state === "holding" && this.#queue === undefined) {
      this.#process(item, nowMs);
      return true;
    }
    this.#queue ??= [];
    // Limit: STREAM_QUEUE_MAX
    if (this.#queue.length >= STREAM_QUEUE_MAX) {
      this.dropped += 1;
      return false;
    }
    this.#queue.push(item);
    return true;
  }

  update(priority: "low" | "high", nowMs: number): void {
    if (this.#instruct.nextLink === undefined) return;
    switch (this.state) {
      case "holding":
        if (priority === "high") this.#followLink(nowMs);
        else {
          this.state = "waiting-to-update";
          this.services.links.remove(this);
          this.services.updates.add(this.#instruct.nextLink.uri, this, nowMs);
        }
        return;
      case "waiting-to-update":
        if (priority === "high") this.#followLink(nowMs);
        return;
      case "ending":
        return;
      default:
        if (this.#pendingUpdate !== "high") this.#pendingUpdate = priority;
    }
  }

  get hasNextLink(): boolean {
    return this.#instruct.nextLink !== undefined;
  }

  performUpdate(nowMs: number): boolean {
    if (this.state !== "waiting-to-update" || this.isReleased) return false;
    this.#followLink(nowMs);
    return true;
  }

  linkTimedOut(nowMs: number): void {
    this.update("low", nowMs);
  }

  /** Keep-alive, or a link that had to wait. */
  due(nowMs: number): void {
    if (this.#linkWaits) {
      this.#linkWaits = false;
      this.#followLink(nowMs);
      return;
    }
    const { keepAlive } = this.#instruct;
    if (keepAlive === undefined || this.state === "blocked" || this.state === "ending") return;
    if (this.#keepAliveDueMs > nowMs) {
      this.services.wheel.schedule(this, this.#keepAliveDueMs);
      return;
    }
    const mayWrite = this.state === "holding" || this.state === "waiting-to-update";
    if ((mayWrite || !this.#link?.hasForwarded) && keepAlive.data.length > 0 && !this.#isFull()) {
      this.services.stats.activity(this.origin.statsRoute, 1);
      this.#write(keepAlive.data);
    }
    if (!this.isReleased) this.#restartKeepAlive(nowMs);
  }

  linkRequest(): InternalRequestData {
    const uri = this.#instruct.nextLink?.uri ?? this.origin.uri;
    return this.requestData("GET", uri, this.lastIdHeaders(), true);
  }

  linkBody(body: Bytes, nowMs: number): void {
    if (this.#isAnchored) {
      // Half an answer of a link is on its way: a successor would not know which.
      this.#isAnchored = false;
      this.dropAnchor();
    }
    this.#write(body);
    if (this.session.queuedBytes === 0) this.#link?.drained();
    if (this.session.ended) this.finish(nowMs);
  }

  linkDone(instruct: Instruct, nowMs: number): void {
    this.#link = undefined;
    if (instruct.hold === undefined && instruct.nextLink === undefined) {
      this.#end(nowMs);
      return;
    }
    this.#instruct = inForce(instruct);
    this.#isAnchored = false;
    this.#isChain = instruct.hold === undefined;
    if (!this.#isChain) {
      this.#enterHold(nowMs);
      return;
    }
    // A page that waits to be taken is here only: a successor would leave it out.
    if (this.session.queuedBytes === 0) {
      this.#anchorInstruct();
      this.session.sendAnchor();
      this.flush();
    }
    this.#followLink(nowMs);
  }

  linkFailed(text: string, nowMs: number): void {
    this.#link = undefined;
    this.#fail(text, nowMs);
  }

  protected received(received: Received, nowMs: number): void {
    this.flush();
    if (this.session.ended) {
      this.finish(nowMs);
      return;
    }
    if (received !== "credit" && received !== "data") return;
    if (this.session.queuedBytes > 0) return;
    if (this.state === "starting") this.#startIsWritten(nowMs);
    else if (this.state === "linking") this.#link?.drained();
    else if (this.state === "blocked" && this.session.outCredits > 0) {
      this.state = "holding";
      this.#resumeHolding(nowMs);
    }
  }

  protected unsubscribeAll(): void {
    this.services.links.remove(this);
    this.#link?.cancel();
    this.#link = undefined;
    this.#queue = undefined;
    for (const channel of this.channels.keys())
      this.services.subscriptions.removeStream(channel, this);
  }

  #subscribeImplicit(nowMs: number): void {
    for (const name of this.#implicit)
      this.#subscribe(name, { name, filters: [], isImplicit: true, prevId: undefined }, nowMs);
  }

  /** What the backend has said is what a successor goes by. */
  #anchorInstruct(): void {
    this.#isAnchored = true;
    this.#anchorWith(this.#instruct.channels);
  }

  #anchorWith(channels: readonly Channel[]): void {
    this.anchor(() => ({
      kind: "stream",
      origin: this.origin,
      client: this.client,
      implicit: this.#implicit,
      instruct: { ...this.#instruct, channels },
      ...(this.#isChain ? { isChain: true } : {}),
    }));
  }

  #writeStart(instruct: Instruct, requestHeaders: readonly string[], nowMs: number): boolean {
    const { code, reason, body } = instruct.response;
    const headers = this.client.autoCrossOrigin
      ? withCors(instruct.response.headers, requestHeaders)
      : instruct.response.headers;
    const filtered = filterInitialBody(instruct, body);
    const first = filtered.ok ? filtered.value : "";
    this.session.respond({ code, reason, headers }, first, true);
    const { stats } = this.services;
    let headerBytes = String(code).length + reason.length;
    for (const text of headers) headerBytes += text.length;
    stats.count(this.origin.statsRoute, "clientHeaderBytesSent", headerBytes);
    stats.count(this.origin.statsRoute, "clientContentBytesSent", first.length);
    stats.count(this.origin.statsRoute, "clientMessagesSent", 1);
    if (!filtered.ok) this.#fail(filtered.error, nowMs);
    return filtered.ok;
  }

  #startIsWritten(nowMs: number): void {
    if (this.session.queuedBytes > 0) return; // goes on when the client has taken it
    if (this.#isChain) this.#followLink(nowMs);
    else this.#enterHold(nowMs);
  }

  /** After the start and after each link response (handler.md 4.2). */
  #enterHold(nowMs: number): void {
    const { channels, nextLink } = this.#instruct;
    if (nextLink === undefined) {
      const stuck = channels.find((one) => one.prevId !== undefined);
      if (stuck !== undefined) {
        this.#fail(`channel '${stuck.name}' specifies prev-id, but no next link found`, nowMs);
        return;
      }
    }
    this.#applyChannels(channels, nowMs);
    if (!this.#isAnchored) {
      this.#anchorInstruct();
      this.session.sendAnchor();
      this.flush();
    }
    const isFirst = !this.#heldBefore;
    this.#heldBefore = true;
    if (isFirst && this.hasConflict()) this.#pendingUpdate ??= "low";
    this.#discardStale();
    this.#active = undefined;
    this.state = "holding";
    if (this.#instruct.keepAlive === undefined) this.services.wheel.cancel(this);
    this.#resumeHolding(nowMs);
  }

  #applyChannels(channels: readonly Channel[], nowMs: number): void {
    const { origin, services } = this;
    const wanted = new Map<string, Channel>();
    // Limit: connectionSubscriptionMax
    for (const channel of channels.slice(0, services.settings.connectionSubscriptionMax)) {
      const fullName = origin.channelPrefix + channel.name;
      if (!wanted.has(fullName)) wanted.set(fullName, channel);
    }
    for (const [fullName, { isImplicit }] of this.channels) {
      if (isImplicit || wanted.has(fullName)) continue;
      this.channels.delete(fullName);
      services.subscriptions.removeStream(fullName, this);
    }
    for (const [fullName, { name, filters, prevId }] of wanted) {
      const isImplicit = this.channels.get(fullName)?.isImplicit ?? false;
      this.#subscribe(fullName, { name, filters, prevId, isImplicit }, nowMs);
    }
  }

  #subscribe(
    fullName: string,
    subscription: {
      name: string;
      filters: readonly string[];
      prevId: string | undefined;
      isImplicit: boolean;
    },
    nowMs: number,
  ): void {
    const isNew = !this.channels.has(fullName);
    this.channels.set(fullName, subscription);
    if (!isNew) return;
    this.logSubscription(fullName);
    this.services.subscriptions.addStream(fullName, this, nowMs);
  }

  /** Items that came while the link was asked, and that its answer has already covered. */
  #discardStale(): void {
    const queue = this.#queue;
    if (queue === undefined) return;
    while (queue.length > 0) {
      const item = queue[0] as PublishItem;
      const subscription = this.channels.get(item.channel);
      if (
        subscription !== undefined &&
        (subscription.prevId === undefined || subscription.prevId === item.prevId)
      )
        break;
      queue.shift();
    }
    if (queue.length === 0) this.#queue = undefined;
  }

  /** Works off what waits; then keep-alives and link timeouts run again. */
  #resumeHolding(nowMs: number): void {
    while (this.#isHolding() && this.#queue !== undefined) {
      if (this.#isFull()) {
        this.#block();
        return;
      }
      const item = this.#queue.shift();
      if (this.#queue.length === 0) this.#queue = undefined;
      if (item !== undefined) this.#process(item, nowMs);
    }
    if (!this.#isHolding() || this.isReleased) return;
    const { keepAlive, nextLink } = this.#instruct;
    if (keepAlive !== undefined && this.#keepAliveDueMs <= nowMs) this.#restartKeepAlive(nowMs);
    if (keepAlive !== undefined) this.services.wheel.schedule(this, this.#keepAliveDueMs);
    if (nextLink === undefined) {
      this.services.links.remove(this);
      this.#pendingUpdate = undefined;
      return;
    }
    if (nextLink.timeoutS > 0)
      this.services.links.add(this, nextLink.uri, nextLink.timeoutS, nowMs);
    const pending = this.#pendingUpdate;
    this.#pendingUpdate = undefined;
    if (pending !== undefined) this.update(pending, nowMs);
  }

  #isHolding(): boolean {
    return this.state === "holding";
  }

  #isFull(): boolean {
    return this.session.queuedBytes > 0 || this.session.outCredits <= 0;
  }

  #block(): void {
    this.state = "blocked";
    this.services.links.remove(this);
    this.services.wheel.cancel(this);
  }

  #process(item: PublishItem, nowMs: number): void {
    const format = item.httpStream;
    const subscription = this.channels.get(item.channel);
    if (format === undefined || subscription === undefined) return;
    if (this.#isFull()) {
      this.#queue = [item, ...(this.#queue ?? [])];
      this.#block();
      return;
    }
    if (subscription.prevId !== undefined) {
      if (subscription.prevId !== item.prevId) {
        this.services.sequencer.forgetLastId(item.channel);
        item.receipt?.settle("dropped");
        this.#queue = undefined;
        this.update("low", nowMs);
        return;
      }
      // Ours: the id counts before filters run, so that templates render the new one.
      subscription.prevId = item.id;
      this.#anchorWith(channelsNow(this.channels.values()));
    }
    if (format.action !== "send") item.receipt?.settle("delivered");
    if (format.action === "hint") {
      this.#queue = undefined;
      this.update("high", nowMs);
      return;
    }
    if (format.action === "close") {
      this.#end(nowMs);
      return;
    }
    if (format.action === "send") this.#send(item, format, subscription.filters, nowMs);
  }

  #send(
    item: PublishItem,
    format: HttpStreamFormat,
    filters: readonly string[],
    nowMs: number,
  ): void {
    const mismatch = contentFilterMismatch(filters, format.contentFilters);
    if (mismatch !== undefined) {
      item.receipt?.settle("filtered");
      this.#drop(mismatch, nowMs);
      return;
    }
    if (filters.length === 0) {
      item.receipt?.settle("delivered");
      this.#writeItem(item, format.content, nowMs);
      return;
    }
    this.state = "filtering";
    const filtered = this.services.filters.run(
      {
        filters,
        context: filterContext(item, this.#instruct.meta, this.channels),
        origin: this.origin,
        content: format.content,
      },
      nowMs,
      (later, laterMs) => {
        if (this.state !== "filtering" || this.isReleased) return;
        this.#filtered(later, item, laterMs);
        if (this.#isHolding()) this.#resumeHolding(laterMs);
      },
    );
    if (filtered !== undefined) this.#filtered(filtered, item, nowMs);
  }

  #filtered(filtered: Filtered, item: PublishItem, nowMs: number): void {
    this.state = "holding";
    item.receipt?.settle(filtered.action === "send" ? "delivered" : "filtered");
    if (filtered.action === "send") this.#writeItem(item, filtered.content, nowMs);
    else if (filtered.action === "error") this.#drop(`filter error: ${filtered.text}`, nowMs);
    const pending = this.#pendingUpdate;
    if (pending === undefined || !this.#isHolding()) return;
    this.#pendingUpdate = undefined;
    this.update(pending, nowMs);
  }

  #writeItem(item: PublishItem, content: Bytes, nowMs: number): void {
    this.services.stats.count(this.origin.statsRoute, "clientContentBytesSent", content.length);
    this.#write(content);
    this.wrote(item, nowMs);
    if (this.session.queuedBytes > 0) this.#block();
  }

  #write(content: Bytes): void {
    if (content.length === 0) return;
    this.session.write(content, true);
    this.flush();
  }

  /** A session is active when each of its channels has been heard of since the last time. */
  #noteActivity(channel: string): void {
    this.#active ??= new Set();
    this.#active.add(channel);
    if (this.#active.size < this.channels.size) return;
    this.#active = undefined;
    this.services.links.markActive(this);
  }

  #restartKeepAlive(nowMs: number): void {
    const { keepAlive } = this.#instruct;
    if (keepAlive === undefined) return;
    const jitterMs = Math.floor(this.services.random() * 1000);
    this.#keepAliveDelayMs = Math.max(keepAlive.timeoutS * 1000 - jitterMs, 0);
    this.#keepAliveDueMs = nowMs + this.#keepAliveDelayMs;
    this.services.wheel.schedule(this, this.#keepAliveDueMs);
  }

  #followLink(nowMs: number): void {
    const { nextLink } = this.#instruct;
    if (nextLink === undefined || this.isReleased) return;
    const { services } = this;
    this.state = "linking";
    services.links.remove(this);
    if (nowMs - this.#linksFromMs >= 1000) {
      this.#linksFromMs = nowMs;
      this.#links = 0;
    }
    // Limit: LINKS_PER_SECOND
    if (this.#links >= LINKS_PER_SECOND) {
      this.#linkWaits = true;
      services.wheel.schedule(this, this.#linksFromMs + 1000);
      return;
    }
    this.#links += 1;
    this.#link = new LinkFetch(
      this,
      nextLink.uri,
      services.requests,
      services.wheel,
      services.random,
    );
    this.#link.start(nowMs);
  }

  #drop(text: string, nowMs: number): void {
    this.services.log.debug("item dropped", { key: this.key, text });
    if (this.client.debug) this.#fail(text, nowMs);
  }

  #fail(text: string, nowMs: number): void {
    this.services.log.debug("stream ends", { key: this.key, text });
    if (this.client.debug) this.session.write(`\n\n${text}\n`, true);
    this.#end(nowMs);
  }

  #end(nowMs: number): void {
    this.state = "ending";
    this.services.wheel.cancel(this);
    this.session.write("", false);
    this.flush();
    if (this.session.ended) this.finish(nowMs);
    else this.unsubscribeAll();
  }
}

export function inForce(instruct: Instruct): StreamInstruct {
  const { channels, meta, keepAlive, nextLink } = instruct;
  return { channels, meta, keepAlive, nextLink };
}
