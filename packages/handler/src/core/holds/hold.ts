import { detach } from "@pushpin/tnetstrings";
import { type Packet, type Received, type Scheduled, Session } from "@pushpin/zhttp";
import type { HttpRequestData, InspectResult, RequestState } from "@pushpin/zrpc";
import type { InternalRequestData } from "../internal-requests.ts";
import type { Due } from "../link-timers.ts";
import type { PublishItem } from "../publish-item.ts";
import type { Services } from "../services.ts";
import { encodeHoldAnchor, type HoldAnchor } from "./anchor.ts";

/** What all clients of one accept have in common. */
export interface HoldOrigin {
  /** Instance id of the proxy that gave the clients to us. */
  readonly proxyId: string;
  readonly route: string | undefined;
  readonly statsRoute: string;
  readonly channelPrefix: string;
  readonly trusted: boolean;
  /** URI of the request as sent to the backend. */
  readonly uri: string;
  readonly goneLink: string | undefined;
  /** Session of the store; empty: none. */
  readonly sid: string;
  /** What a retry is rebuilt from; streams do not keep it. */
  readonly original: HttpRequestData | undefined;
  readonly inspect: InspectResult | undefined;
}

/** One channel a client listens to. */
export interface Subscription {
  /** As the backend named it, without the route's prefix. */
  readonly name: string;
  readonly filters: readonly string[];
  /** Order by the route, not by the backend: stays whatever instructs say. */
  readonly isImplicit: boolean;
  prevId: string | undefined;
}

export const GENERIC_ERROR = "Error while proxying to origin.\n";

/** A client request kept open: its ZHTTP session and its subscriptions. */
export abstract class Hold implements Scheduled, Due {
  readonly session: Session;
  readonly key: string;
  readonly origin: HoldOrigin;
  readonly client: RequestState;
  /** By full name. */
  readonly channels = new Map<string, Subscription>();
  keepAliveSlot?: number;
  protected readonly services: Services;
  /** It is being taken over from a predecessor of this process. */
  protected isResuming = false;
  #released = false;

  constructor(services: Services, origin: HoldOrigin, state: RequestState, nowMs: number) {
    this.services = services;
    this.origin = origin;
    this.client = state;
    this.key = holdKey(state.rid.sender, state.rid.id);
    this.session = Session.resume({
      kind: "http",
      from: services.settings.instanceId,
      peer: state.rid.sender,
      id: state.rid.id,
      inSeq: state.inSeq,
      outSeq: state.outSeq,
      outCredits: state.outCredits,
      routerResp: state.routerResp ?? false,
      nowMs,
    });
  }

  abstract due(nowMs: number): void;
  /** An item for this very connection; false if there is nothing in it for it. */
  abstract direct(item: PublishItem, nowMs: number): boolean;
  /** The session has taken a packet of its client. */
  protected abstract received(received: Received, nowMs: number): void;
  protected abstract unsubscribeAll(nowMs: number): void;

  get isReleased(): boolean {
    return this.#released;
  }

  receive(packet: Packet, seq: number | undefined, nowMs: number): void {
    const received = this.session.receive(packet, seq, nowMs);
    if (received === "error" || received === "cancel" || received === "failed") {
      this.flush();
      this.finish(nowMs);
      return;
    }
    this.received(received, nowMs);
  }

  /** What a successor of ours would need from now on, given to the connection manager if it keeps it. */
  protected anchor(make: () => HoldAnchor): void {
    const { session, services } = this;
    if (!services.outputs.keepsAnchors(session.peer)) return;
    if (!session.setAnchor(encodeHoldAnchor(make())))
      services.log.debug("hold too large to survive a restart of the handler", { key: this.key });
  }

  /** Nobody else could go on from here. */
  protected dropAnchor(): void {
    if (this.services.outputs.keepsAnchors(this.session.peer)) this.session.setAnchor("");
  }

  /** Not of clients that are taken over: they come by the thousand, and were logged when they came. */
  protected logSubscription(channel: string): void {
    if (this.isResuming) return;
    const { origin, client, services } = this;
    services.log.info(`subscribe ${origin.uri} channel=${channel}${client.isRetry ? " retry" : ""}`);
  }

  protected implicitChannels(): string[] {
    const names: string[] = [];
    for (const [fullName, { isImplicit }] of this.channels) if (isImplicit) names.push(fullName);
    return names;
  }

  /** The peer has been silent for too long. */
  expired(nowMs: number): void {
    this.finish(nowMs);
  }

  flush(): void {
    const { session, services } = this;
    for (let packet = session.takePacket(); packet !== undefined; packet = session.takePacket())
      services.outputs.toClient(session.peer, packet, session.routerResp);
  }

  /** Says that a session taken over goes on. */
  protected greet(): void {
    if (!this.services.greetings.add(this.session)) this.flush();
  }

  /** Everything ends, for whatever reason; the gone link is told. */
  protected finish(nowMs: number): void {
    this.leave(nowMs, true);
  }

  protected leave(nowMs: number, isOver: boolean): void {
    if (this.#released) return;
    this.#released = true;
    const { services } = this;
    services.wheel.cancel(this);
    this.unsubscribeAll(nowMs);
    services.release(this);
    if (!isOver) return;
    services.stats.connectionRemoved(this.key, nowMs);
    if (this.origin.goneLink !== undefined) this.requestGone(nowMs, () => {});
  }

  /** Tells the backend that this client is gone; `done` is called whatever the answer. */
  protected requestGone(nowMs: number, done: (nowMs: number) => void): void {
    const { log, requests } = this.services;
    const uri = this.origin.goneLink as string;
    requests.start(
      this.requestData("POST", uri, [], false),
      {
        onHead: (code) => {
          if (code < 200 || code > 299) log.debug("gone link refused", { uri, code });
        },
        onBody: () => {},
        onDone: done,
        onFailed: (condition, failedMs) => {
          log.debug("gone link failed", { uri, condition });
          done(failedMs);
        },
      },
      nowMs,
    );
  }

  protected requestData(
    method: string,
    uri: string,
    headers: string[],
    autoShare: boolean,
  ): InternalRequestData {
    const { origin } = this;
    return {
      method,
      uri,
      headers,
      body: "",
      route: origin.route,
      trusted: origin.trusted,
      preferInternal: isSameOrigin(uri, origin.uri),
      autoShare,
    };
  }

  /** `Grip-Last` fields for every channel that has a prev-id. */
  protected lastIdHeaders(): string[] {
    const headers: string[] = [];
    for (const { name, prevId } of this.channels.values())
      if (prevId !== undefined) headers.push("Grip-Last", `${name}; last-id=${prevId}`);
    return headers;
  }

  /** Whether a channel was ahead of what the backend knew; its last id is forgotten then. */
  protected hasConflict(): boolean {
    const { sequencer } = this.services;
    let conflict = false;
    for (const [channel, { prevId }] of this.channels) {
      if (prevId === undefined) continue;
      const lastId = sequencer.lastId(channel);
      if (lastId === undefined || lastId === prevId) continue;
      sequencer.forgetLastId(channel);
      conflict = true;
    }
    return conflict;
  }
}

export function holdKey(sender: string, id: string): string {
  return `${sender}:${id}`;
}

/** A request state that does not pin the packet it was cut from. */
export function detachState(state: RequestState, sender: string): RequestState {
  const { peerAddress, logicalPeerAddress, jsonpCallback } = state;
  return {
    ...state,
    rid: { sender, id: detach(state.rid.id) },
    ...(peerAddress === undefined ? {} : { peerAddress: detach(peerAddress) }),
    ...(logicalPeerAddress === undefined ? {} : { logicalPeerAddress: detach(logicalPeerAddress) }),
    ...(jsonpCallback === undefined ? {} : { jsonpCallback: detach(jsonpCallback) }),
  };
}

const ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/(?:[^/?#@]*@)?([^/?#]*)/i;

/** Scheme, host and port are equal, default ports written or not. */
export function isSameOrigin(a: string, b: string): boolean {
  const one = originOf(a);
  return one !== undefined && one === originOf(b);
}

function originOf(uri: string): string | undefined {
  const match = ORIGIN.exec(uri);
  if (match === null) return undefined;
  const scheme = (match[1] as string).toLowerCase();
  const isSecure = scheme === "https" || scheme === "wss";
  const host = (match[2] as string).toLowerCase();
  const withPort = /:\d+$/.test(host) ? host : `${host}:${isSecure ? 443 : 80}`;
  return `${isSecure ? "s" : ""}//${withPort}`;
}
