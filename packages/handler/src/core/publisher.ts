import type { Bytes } from "@pushpin/tnetstrings";
import type { HttpResponseData } from "@pushpin/zrpc";
import { FanOut } from "@pushpin/zhttp";
import { headBytes, SharedAnswer } from "./holds/answer.ts";
import type { ResponseHold } from "./holds/response-hold.ts";
import type { StreamHold } from "./holds/stream-hold.ts";
import type { PublishItem } from "./publish-item.ts";
import { RateLimiter } from "./rate-limiter.ts";
import type { Services } from "./services.ts";
import type { Transport } from "./stats-port.ts";
import { ItemTemplate } from "./websocket/control-out.ts";
import type { WsControl } from "./websocket/ws-control.ts";
import type { WsSession } from "./websocket/ws-session.ts";

/** Block counts are off. */
const NO_BLOCKS = -1;

interface Receiver {
  /** False if it came too late, or there is no room for it. */
  deliver(item: PublishItem, nowMs: number): boolean;
}

/** Brings items to whoever listens to their channels: order, limits, fan-out (handler.md 8, 9). */
export class Publisher {
  /** Deliveries refused by the rate limiter. */
  refused = 0;
  readonly #services: Services;
  readonly #ws: WsControl;
  readonly #limiter: RateLimiter;
  readonly #fanOut: FanOut;
  #nowMs = 0;

  constructor(services: Services, ws: WsControl) {
    this.#services = services;
    this.#ws = ws;
    const { settings, outputs } = services;
    this.#limiter = new RateLimiter({
      rate: settings.messageRate,
      hwm: settings.messageHwm,
      batchWait: false,
    });
    this.#fanOut = new FanOut(settings.instanceId, (to, packet, viaRouter) =>
      outputs.toClient(to, packet, viaRouter),
    );
  }

  /** The settings of the services have changed. */
  reconfigure(nowMs: number): void {
    this.#nowMs = nowMs;
    const { messageRate: rate, messageHwm: hwm } = this.#services.settings;
    this.#limiter.configure({ rate, hwm }, nowMs);
  }

  publish(item: PublishItem, nowMs: number): void {
    const { sequencer, subscriptions } = this.#services;
    for (const one of sequencer.add(item, subscriptions.has(item.channel), nowMs))
      this.deliver(one, nowMs);
  }

  get isWaiting(): boolean {
    return this.#limiter.dueMs !== undefined;
  }

  advance(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#limiter.advance(nowMs);
  }

  /** The item's turn has come. */
  deliver(item: PublishItem, nowMs: number): void {
    this.#nowMs = nowMs;
    const { services } = this;
    services.stats.received(this.#largestBlocks(item));
    if (item.receipt !== undefined) item.receipt.isTaken = true;
    const channel = services.subscriptions.get(item.channel);
    if (channel === undefined) return;
    let receivers = 0;
    const { httpResponse, httpStream, wsMessage } = item;
    if (httpResponse !== undefined && channel.response.size > 0) {
      const blocks = this.#blocks(item, httpResponse.body);
      receivers += this.#note(item, "http-response", channel.response.size, blocks);
      this.#responses(item, channel.response, blocks);
    }
    if (httpStream !== undefined && channel.stream.size > 0) {
      const blocks = this.#blocks(item, httpStream.content);
      receivers += this.#note(item, "http-stream", channel.stream.size, blocks);
      this.#streams(item, channel.stream, blocks);
    }
    if (wsMessage !== undefined && channel.ws.size > 0) {
      const blocks = this.#blocks(item, wsMessage.content);
      receivers += this.#note(item, "ws-message", channel.ws.size, blocks);
      this.#sockets(item, channel.ws, blocks);
    }
    if (receivers > 0) services.log.info(`publish channel=${item.channel} receivers=${receivers}`);
  }

  private get services(): Services {
    return this.#services;
  }

  #note(item: PublishItem, transport: Transport, receivers: number, blocks: number): number {
    const total = blocks === NO_BLOCKS ? NO_BLOCKS : blocks * receivers;
    this.#services.stats.message(item.channel, item.id, transport, receivers, total);
    if (item.receipt !== undefined) item.receipt.receivers += receivers;
    return receivers;
  }

  #responses(item: PublishItem, holds: ReadonlySet<ResponseHold>, blocks: number): void {
    const format = item.httpResponse;
    if (format === undefined) return;
    const tally = new Tally(this.#services, item, "http-response", blocks);
    const isPlain =
      this.#limiter.isUnlimited &&
      format.action === "send" &&
      format.bodyPatch === undefined &&
      !format.contentFilters?.length;
    const shared = new SharedAnswer(format);
    const fanOut = this.#fanOut;
    const nowMs = this.#nowMs;
    let last: HttpResponseData | undefined;
    const answered: ResponseHold[] = [];
    for (const hold of [...holds]) {
      tally.add(hold.origin.statsRoute, hold.origin.sid);
      if (isPlain && hold.isPlain(item)) {
        const answer = shared.of(hold.held, hold.client);
        if (answer !== last) {
          fanOut.beginResponse(answer, answer.body);
          last = answer;
        }
        if (fanOut.add(hold.session)) {
          tally.answer(answer);
          item.receipt?.settle("delivered");
          answered.push(hold);
          continue;
        }
      }
      this.#deliver(item, hold, hold.origin.statsRoute, blocks);
    }
    fanOut.end();
    tally.end();
    // The answers are on their way; what each client leaves behind can wait that long.
    for (const hold of answered) hold.wasAnswered(nowMs);
  }

  #streams(item: PublishItem, holds: ReadonlySet<StreamHold>, blocks: number): void {
    const format = item.httpStream;
    if (format === undefined) return;
    const tally = new Tally(this.#services, item, "http-stream", blocks);
    if (!this.#limiter.isUnlimited) {
      for (const hold of holds) {
        tally.add(hold.origin.statsRoute, hold.origin.sid);
        this.#deliver(item, hold, hold.origin.statsRoute, blocks);
      }
      tally.end();
      return;
    }
    const isPlain =
      format.action === "send" && format.content.length > 0 && !format.contentFilters?.length;
    const fanOut = this.#fanOut;
    const nowMs = this.#nowMs;
    fanOut.begin(format.content);
    for (const hold of holds) {
      tally.add(hold.origin.statsRoute, hold.origin.sid);
      if (isPlain && hold.isPlain(item) && fanOut.add(hold.session)) {
        tally.contentBytes += format.content.length;
        item.receipt?.settle("delivered");
        hold.wrote(item, nowMs);
      } else if (!hold.deliver(item, nowMs)) item.receipt?.settle("dropped");
    }
    fanOut.end();
    tally.end();
  }

  #sockets(item: PublishItem, sessions: ReadonlySet<WsSession>, blocks: number): void {
    const format = item.wsMessage;
    if (format === undefined) return;
    const tally = new Tally(this.#services, item, "ws-message", blocks);
    const isPlain = format.action === "send" && !format.contentFilters?.length;
    const template =
      isPlain && this.#limiter.isUnlimited
        ? new ItemTemplate({
            type: "send",
            contentType: format.type,
            message: format.content,
          })
        : undefined;
    for (const session of sessions) {
      tally.add(session.statsRoute, session.sid);
      if (template !== undefined && session.isPlain(item)) {
        this.#ws.out.addShared(session.peer, template, session.cid);
        item.receipt?.settle("delivered");
      } else this.#deliver(item, session, session.statsRoute, blocks);
    }
    tally.end();
  }

  /** Now, or when the rate allows it. */
  #deliver(item: PublishItem, to: Receiver, route: string, blocks: number): void {
    if (this.#limiter.isUnlimited) {
      if (!to.deliver(item, this.#nowMs)) item.receipt?.settle("dropped");
      return;
    }
    const action = () => {
      const isDone = to.deliver(item, this.#nowMs);
      if (!isDone) item.receipt?.settle("dropped");
      return isDone;
    };
    const weight = blocks === NO_BLOCKS ? 1 : blocks;
    if (this.#limiter.add(route, weight, action, this.#nowMs)) return;
    item.receipt?.settle("dropped");
    this.refused += 1;
    const { log, settings } = this.#services;
    log.warn(`exceeded publish hwm (${settings.messageHwm}), dropping message`);
  }

  #blocks(item: PublishItem, content: Bytes): number {
    const { messageBlockSize } = this.#services.settings;
    if (messageBlockSize <= 0) return NO_BLOCKS;
    return Math.ceil((item.size ?? content.length) / messageBlockSize);
  }

  #largestBlocks(item: PublishItem): number {
    if (this.#services.settings.messageBlockSize <= 0) return NO_BLOCKS;
    let largest = 0;
    const { httpResponse, httpStream, wsMessage } = item;
    for (const content of [httpResponse?.body, httpStream?.content, wsMessage?.content])
      if (content !== undefined) largest = Math.max(largest, this.#blocks(item, content));
    return largest;
  }
}

/** Counts receivers by route, and collects the store's sessions among them. */
class Tally {
  contentBytes = 0;
  #headerBytes = 0;
  #messages = 0;
  #last: HttpResponseData | undefined;
  #lastHeadBytes = 0;
  readonly #services: Services;
  readonly #item: PublishItem;
  readonly #transport: Transport;
  readonly #blocks: number;
  #route = "";
  #count = 0;
  #sids: Map<string, ReadonlyMap<string, string>> | undefined;

  constructor(services: Services, item: PublishItem, transport: Transport, blocks: number) {
    this.#services = services;
    this.#item = item;
    this.#transport = transport;
    this.#blocks = blocks;
  }

  add(route: string, sid: string): void {
    if (route !== this.#route) {
      this.#flush();
      this.#route = route;
    }
    this.#count += 1;
    if (sid === "" || this.#item.id === undefined) return;
    this.#sids ??= new Map();
    this.#sids.set(sid, new Map([[this.#item.channel, this.#item.id]]));
  }

  /** A whole response was sent to the one added last. */
  answer(answer: HttpResponseData): void {
    if (answer !== this.#last) {
      this.#last = answer;
      this.#lastHeadBytes = headBytes(answer);
    }
    this.#headerBytes += this.#lastHeadBytes;
    this.contentBytes += answer.body.length;
    this.#messages += 1;
  }

  end(): void {
    this.#flush();
    if (this.#sids !== undefined) this.#services.outputs.storeLastIds(this.#sids);
  }

  #flush(): void {
    const { stats } = this.#services;
    if (this.#count > 0)
      stats.sent(
        this.#route,
        this.#transport,
        this.#count,
        this.#blocks === NO_BLOCKS ? NO_BLOCKS : this.#blocks * this.#count,
      );
    if (this.contentBytes > 0)
      stats.count(this.#route, "clientContentBytesSent", this.contentBytes);
    if (this.#messages > 0) {
      stats.count(this.#route, "clientHeaderBytesSent", this.#headerBytes);
      stats.count(this.#route, "clientMessagesSent", this.#messages);
    }
    this.#count = 0;
    this.contentBytes = 0;
    this.#headerBytes = 0;
    this.#messages = 0;
  }
}
