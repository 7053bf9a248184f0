import type { TimerWheel } from "@pushpin/clock";
import type { Logger } from "@pushpin/log";
import type { Packet } from "@pushpin/zhttp";
import type { RetryPacket } from "@pushpin/zrpc";
import type { FilterRunner } from "./filter-runner.ts";
import type { Greetings } from "./greetings.ts";
import type { Hold } from "./holds/hold.ts";
import type { ResponseHold } from "./holds/response-hold.ts";
import type { StreamHold } from "./holds/stream-hold.ts";
import type { InternalRequests } from "./internal-requests.ts";
import type { Due, LinkTimers } from "./link-timers.ts";
import type { PublishItem } from "./publish-item.ts";
import type { Sequencer } from "./sequencer.ts";
import type { HandlerStats } from "./stats-port.ts";
import type { Mode, Subscriptions } from "./subscriptions.ts";
import type { UpdateQueue } from "./update-queue.ts";
import type { WsSession } from "./websocket/ws-session.ts";

export interface CoreSettings {
  readonly instanceId: string;
  readonly messageRate: number;
  readonly messageHwm: number;
  readonly messageBlockSize: number;
  readonly messageWaitMs: number;
  readonly idCacheTtlMs: number;
  readonly updateOnFirstSubscription: boolean;
  readonly connectionSubscriptionMax: number;
  readonly subscriptionLingerMs: number;
  /** Wall clock minus the time the core is told. */
  readonly wallOffsetMs: number;
  /** Different requests that ask for what was missed, at a time. */
  readonly recoverConcurrency: number;
}

/** What the core asks its shell to do; all of it returns at once. */
export interface HandlerOutputs {
  /** To the connection manager `to`. */
  toClient(to: string, packet: Packet, viaRouter: boolean): void;
  /** Whether the connection manager `to` keeps anchors for whoever takes our place. */
  keepsAnchors(to: string): boolean;
  /** Gives a client back to the proxy `to`. */
  retry(to: string, retry: RetryPacket): void;
  /** One encoded ws-control packet for the proxy `to`. */
  wsControl(to: string, frame: Buffer): void;
  requestFirst(packet: Packet): void;
  /** Whether there is a proxy that would take a request, or a client. */
  isProxyThere(): boolean;
  /** Of first packets to a proxy sent now, and the one before which they may be lost. */
  proxyEpochs(): { readonly epoch: number; readonly lostEpoch: number };
  requestFollowUp(to: string, packet: Packet): void;
  /** The SUB socket follows the channels somebody listens to. */
  subscribe(channel: string): void;
  unsubscribe(channel: string): void;
  /** Ids of items that sessions of the store have got: sid, channel, id. */
  storeLastIds(ids: ReadonlyMap<string, ReadonlyMap<string, string>>): void;
  storeSession(sid: string, lastIds: ReadonlyMap<string, string>): void;
}

/** What the parts of the core share. */
export interface Services {
  /** Replaced by a reload. */
  settings: CoreSettings;
  readonly log: Logger;
  readonly wheel: TimerWheel<Due>;
  readonly outputs: HandlerOutputs;
  readonly stats: HandlerStats;
  readonly subscriptions: Subscriptions<ResponseHold, StreamHold, WsSession>;
  readonly sequencer: Sequencer<PublishItem>;
  readonly updates: UpdateQueue;
  readonly requests: InternalRequests;
  readonly links: LinkTimers;
  readonly filters: FilterRunner;
  /** Uniform in [0, 1). */
  readonly greetings: Greetings;
  random(): number;
  /** The hold is over: it gets no more packets. */
  release(hold: Hold): void;
}

export type { Mode };
