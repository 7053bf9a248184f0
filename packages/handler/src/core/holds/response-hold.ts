import {
  applyJsonPatch,
  type Channel,
  contentFilterMismatch,
  type HttpResponseFormat,
} from "@pushpin/grip";
import type { Bytes } from "@pushpin/tnetstrings";
import type { Received } from "@pushpin/zhttp";
import type { HttpResponseData, RequestState, RetryPacket } from "@pushpin/zrpc";
import type { Filtered } from "../filter-runner.ts";
import type { PublishItem } from "../publish-item.ts";
import type { Services } from "../services.ts";
import type { Updatable } from "../update-queue.ts";
import { channelsNow } from "./anchor.ts";
import { finishAnswer, headBytes, mergeAnswer } from "./answer.ts";
import { filterContext } from "./delivery.ts";
import { GENERIC_ERROR, Hold, type HoldOrigin } from "./hold.ts";

/** Limit: items that wait while a network filter decides about the one in front. */
export const RESPONSE_QUEUE_MAX = 100;

export interface ResponseHoldInstruct {
  readonly channels: readonly Channel[];
  readonly timeoutS: number;
  readonly meta: ReadonlyMap<string, string>;
  readonly response: HttpResponseData;
}

//   holding ──item, timeout──▶ answering ──written──▶ over
//   holding ──low update──▶ waiting-to-update ──▶ pausing ──handoff-proceed──▶ given back
type State = "holding" | "filtering" | "waiting-to-update" | "pausing" | "answering";

/** A request kept open until one item, or the timeout, answers it (handler.md 3). */
export class ResponseHold extends Hold implements Updatable {
  state: State = "holding";
  readonly #instruct: ResponseHoldInstruct;
  #queue: PublishItem[] = [];
  #dueMs: number | undefined;

  constructor(
    services: Services,
    origin: HoldOrigin,
    state: RequestState,
    instruct: ResponseHoldInstruct,
    implicitChannels: readonly string[],
    nowMs: number,
  ) {
    super(services, origin, state, nowMs);
    this.#instruct = instruct;
    for (const name of implicitChannels)
      this.channels.set(name, {
        name,
        filters: [],
        isImplicit: true,
        prevId: undefined,
      });
    // Limit: connectionSubscriptionMax
    for (const channel of instruct.channels.slice(0, services.settings.connectionSubscriptionMax)) {
      const fullName = origin.channelPrefix + channel.name;
      if (!this.channels.has(fullName))
        this.channels.set(fullName, { ...channel, isImplicit: false });
    }
  }

  /** The backend is behind what was published: it is asked again without ever holding. */
  get isBehind(): boolean {
    return this.hasConflict();
  }

  start(nowMs: number): void {
    for (const channel of this.channels.keys()) {
      this.logSubscription(channel);
      this.services.subscriptions.addResponse(channel, this, nowMs);
    }
    const dueMs = this.#dueMs ?? nowMs + this.#instruct.timeoutS * 1000;
    this.services.wheel.schedule(this, dueMs);
    if (this.isResuming) {
      this.greet(); // the connection manager has the anchor we were given
      return;
    }
    this.#anchorUntil(dueMs);
    this.flush();
  }

  /** Goes on where a predecessor of this process has left off. */
  resume(dueWallMs: number, nowMs: number): void {
    this.isResuming = true;
    this.#dueMs = Math.max(dueWallMs - this.services.settings.wallOffsetMs, nowMs);
    this.start(nowMs);
    this.isResuming = false;
  }

  #anchorUntil(dueMs: number): void {
    this.anchor(() => ({
      kind: "response",
      origin: this.origin,
      client: this.client,
      implicit: this.implicitChannels(),
      instruct: { ...this.#instruct, channels: channelsNow(this.channels.values()) },
      dueWallMs: Math.round(dueMs + this.services.settings.wallOffsetMs),
    }));
  }

  /** An item for this very connection; false if there is nothing in it for a long poll. */
  direct(item: PublishItem, nowMs: number): boolean {
    const format = item.httpResponse;
    if (format === undefined || this.state !== "holding") return false;
    if (format.action === "hint") this.update("high", nowMs);
    else if (format.action === "send") {
      const body = this.#bodyOf(format);
      if (body === undefined) return false;
      this.#answer(mergeAnswer(this.#instruct.response, format, body), nowMs);
    } else return false;
    return true;
  }

  /** False if the item came too late for this client. */
  deliver(item: PublishItem, nowMs: number): boolean {
    if (this.state === "filtering") {
      if (this.#queue.length >= RESPONSE_QUEUE_MAX) return false; // Limit: RESPONSE_QUEUE_MAX
      this.#queue.push(item);
      return true;
    }
    if (this.state !== "holding") return false;
    this.#process(item, nowMs);
    return true;
  }

  /** What is sent if nothing comes, and what items are merged into. */
  get held(): HttpResponseData {
    return this.#instruct.response;
  }

  /**
   * True if this item's answer depends on nothing of this client's own but what it holds. The caller
   * sends it along with others' then, and tells by `wasAnswered`.
   */
  isPlain(item: PublishItem): boolean {
    const { jsonpCallback, autoCrossOrigin } = this.client;
    if (this.state !== "holding" || autoCrossOrigin || jsonpCallback) return false;
    const subscription = this.channels.get(item.channel);
    return (
      subscription !== undefined &&
      subscription.prevId === undefined &&
      subscription.filters.length === 0
    );
  }

  /** The whole answer was sent to this client outside. */
  wasAnswered(nowMs: number): void {
    this.state = "answering";
    this.finish(nowMs);
  }

  update(priority: "low" | "high", nowMs: number): void {
    const isNow = priority === "high" && this.services.outputs.isProxyThere();
    if (this.state === "waiting-to-update" && isNow) this.#pause(nowMs);
    if (this.state !== "holding" && this.state !== "filtering") return;
    if (isNow) {
      this.#pause(nowMs);
      return;
    }
    this.state = "waiting-to-update";
    this.services.updates.add("", this, nowMs);
  }

  performUpdate(nowMs: number): boolean {
    if (this.state !== "waiting-to-update" || this.isReleased) return false;
    this.#pause(nowMs);
    return true;
  }

  due(nowMs: number): void {
    if (
      this.state === "holding" ||
      this.state === "filtering" ||
      this.state === "waiting-to-update"
    )
      this.#answer(this.#instruct.response, nowMs);
  }

  /** The packet that gives this client back to the proxy. */
  retryPacket(unreportedTimeMs: number): RetryPacket {
    const { client, session, origin } = this;
    const lastIds = new Map(origin.inspect?.lastIds ?? []);
    for (const { name, prevId } of this.channels.values())
      if (prevId !== undefined) lastIds.set(name, prevId);
    const { logicalPeerAddress: _l, isRetry: _r, responseCode: _c, ...rest } = client;
    return {
      requests: [
        {
          ...rest,
          inSeq: session.inSeq,
          outSeq: session.outSeq,
          outCredits: session.outCredits,
          unreportedTimeMs,
        },
      ],
      requestData: origin.original ?? {
        method: "GET",
        uri: origin.uri,
        headers: [],
        body: "",
      },
      inspect: {
        ...(origin.inspect ?? { noProxy: false }),
        lastIds,
        ...this.#sharing(lastIds),
      },
      ...(origin.route === undefined ? {} : { route: origin.route }),
    };
  }

  /** Requests that differ in nothing but the client become one request to the backend. */
  #sharing(lastIds: ReadonlyMap<string, string>): { sharingKey?: string } {
    const { original, inspect } = this.origin;
    if (original?.method !== "GET" || original.body.length > 0) return {};
    if (inspect?.sharingKey !== undefined) return {};
    const known = [...lastIds].map(([channel, id]) => `${channel}=${id}`);
    return { sharingKey: ["retry", original.uri, ...original.headers, ...known].join("\n") };
  }

  protected received(received: Received, nowMs: number): void {
    this.flush();
    if (received === "handoff-proceed") this.#giveBack(nowMs);
    else if (this.session.ended) this.finish(nowMs);
  }

  protected unsubscribeAll(nowMs: number): void {
    for (const channel of this.channels.keys())
      this.services.subscriptions.removeResponse(channel, this, nowMs);
  }

  #process(item: PublishItem, nowMs: number): void {
    const format = item.httpResponse;
    const subscription = this.channels.get(item.channel);
    if (format === undefined || subscription === undefined) return;
    if (subscription.prevId !== undefined) {
      if (subscription.prevId !== item.prevId) {
        this.services.sequencer.forgetLastId(item.channel);
        item.receipt?.settle("dropped");
        this.update("low", nowMs);
        return;
      }
      // Ours: the id counts before filters run, so that templates render the new one.
      subscription.prevId = item.id;
    }
    if (format.action !== "send") item.receipt?.settle("delivered");
    if (format.action === "hint") {
      this.update("high", nowMs);
      return;
    }
    if (format.action !== "send") return;
    const mismatch = contentFilterMismatch(subscription.filters, format.contentFilters);
    if (mismatch !== undefined) {
      item.receipt?.settle("filtered");
      this.#drop(mismatch, nowMs);
      return;
    }
    const body = this.#bodyOf(format);
    if (body === undefined) {
      item.receipt?.settle("dropped");
      this.#fail("failed to apply JSON patch", nowMs);
      return;
    }
    if (subscription.filters.length === 0) {
      item.receipt?.settle("delivered");
      this.#answer(mergeAnswer(this.#instruct.response, format, body), nowMs);
      return;
    }
    this.state = "filtering";
    const filtered = this.services.filters.run(
      {
        filters: subscription.filters,
        context: filterContext(item, this.#instruct.meta, this.channels),
        origin: this.origin,
        content: body,
      },
      nowMs,
      (later, laterMs) => this.#filtered(later, item, format, laterMs),
    );
    if (filtered !== undefined) this.#filtered(filtered, item, format, nowMs);
  }

  #filtered(
    filtered: Filtered,
    item: PublishItem,
    format: HttpResponseFormat,
    nowMs: number,
  ): void {
    const isHere = this.state === "filtering" && !this.isReleased;
    item.receipt?.settle(isHere && filtered.action === "send" ? "delivered" : "filtered");
    if (!isHere) return;
    this.state = "holding";
    if (filtered.action === "send")
      this.#answer(mergeAnswer(this.#instruct.response, format, filtered.content), nowMs);
    else if (filtered.action === "error") this.#drop(`filter error: ${filtered.text}`, nowMs);
    while (this.#isHolding()) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      this.#process(next, nowMs);
    }
  }

  #isHolding(): boolean {
    return this.state === "holding";
  }

  #bodyOf(format: HttpResponseFormat): Bytes | undefined {
    if (format.bodyPatch === undefined) return format.body;
    const patched = applyJsonPatch(this.#instruct.response.body, format.bodyPatch);
    return patched.ok ? patched.value : undefined;
  }

  /** What one client cannot get is dropped; where somebody debugs, it is said. */
  #drop(text: string, nowMs: number): void {
    this.services.log.debug("item dropped", { key: this.key, text });
    if (this.client.debug) this.#fail(text, nowMs);
  }

  #fail(text: string, nowMs: number): void {
    const body = this.client.debug ? `${text}\n` : GENERIC_ERROR;
    const headers = ["Content-Type", "text/plain"];
    this.#answer({ code: 502, reason: "Bad Gateway", headers, body }, nowMs);
  }

  #answer(answer: HttpResponseData, nowMs: number): void {
    this.state = "answering";
    const { services, session, origin } = this;
    services.wheel.cancel(this);
    const final = finishAnswer(answer, this.client, origin.original?.headers ?? []);
    if (final.body.length > session.outCredits) this.dropAnchor(); // it takes several packets
    session.respond(final, final.body, false);
    services.stats.count(origin.statsRoute, "clientHeaderBytesSent", headBytes(final));
    services.stats.count(origin.statsRoute, "clientContentBytesSent", final.body.length);
    services.stats.count(origin.statsRoute, "clientMessagesSent", 1);
    this.flush();
    if (session.ended) this.finish(nowMs);
    else this.unsubscribeAll(nowMs); // the rest of the body waits for credits
  }

  #pause(nowMs: number): void {
    this.state = "pausing";
    this.services.wheel.cancel(this);
    this.unsubscribeAll(nowMs);
    this.session.handoffStart();
    this.flush();
  }

  #giveBack(nowMs: number): void {
    const send = () => {
      const { services } = this;
      const unreportedMs = services.stats.connectionGivenAway(this.key, nowMs);
      services.outputs.retry(this.origin.proxyId, this.retryPacket(unreportedMs));
    };
    this.leave(nowMs, false);
    if (this.origin.goneLink === undefined) send();
    else this.requestGone(nowMs, send);
  }
}
