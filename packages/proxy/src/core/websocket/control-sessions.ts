import type { Logger } from "@pushpin/log";
import { type Bytes, detach, toByteString } from "@pushpin/tnetstrings";
import { decodeAnchor, type FanOut, SeenItems } from "@pushpin/zhttp";
import {
  CONTROL_ITEMS_MAX,
  type ControlItem,
  type ControlPacket,
  itemNumber,
} from "@pushpin/zrpc";

/** What we tell the handler about how long to wait for us. Unit: seconds. */
export const CONTROL_TTL_S = 60;
/** Every session is refreshed once in this many seconds. */
const REFRESH_CYCLE_S = 45;
/** A message to the handler that is not acknowledged in this time drops the client. */
export const CONTROL_ACK_TIMEOUT_MS = 8000;
/** Limit: items of one session that wait for the handler to say who it is. */
export const CONTROL_WAITING_MAX = 1000;

/** A client's WebSocket as the handler commands it. */
export interface Controlled {
  /** Every item but `ack`; `cancel` included. */
  command(item: ControlItem, nowMs: number): void;
  /** A message that others get too: true if `fanOut` has it now. */
  share(item: ControlItem, fanOut: FanOut): boolean;
  /** What a successor of the handler needs for this WebSocket has changed. */
  anchorChanged(): void;
  /** The handler has confirmed everything it was told. */
  controlConfirmed(): void;
  /** The handler did not answer. */
  controlLost(): void;
}

export interface ControlOutputs {
  /** To any handler. */
  init(packet: ControlPacket): void;
  stream(to: string, packet: ControlPacket): void;
  /** What is sent to clients from now on is the doing of this item of the handler's (`itemNumber`). */
  working(item: number): void;
  /** Something waits for `flush`: to be called soon. */
  dirty(): void;
}

export interface ControlHere {
  readonly uri: string;
  readonly route: string;
  readonly separateStats: boolean;
  readonly channelPrefix: string;
  readonly debug: boolean;
  readonly trusted: boolean;
  readonly logLevel: number | undefined;
  /** Anchors of the handler are kept for its successor. */
  readonly isSucceeded: boolean;
  /** Of a WebSocket that was taken over from another proxy. */
  readonly anchor?: string | undefined;
  readonly marks?: string | undefined;
}

/** The handler's half of one WebSocket (wire.md 5.5). */
export class ControlSession {
  readonly cid: string;
  readonly target: Controlled;
  /** Instance id of the handler; empty until it has answered. */
  peer = "";
  bucket = 0;
  /** Unacknowledged requests by id, in order of time. */
  acks: Map<string, { readonly item: ControlItem; dueMs: number }> | undefined;
  /** What the handler has given us for its successor. */
  anchor: string | undefined;
  readonly here: ControlHere;
  readonly #owner: ControlSessions;
  #waiting: ControlItem[] | undefined = [];
  #nextReqId = 0;

  constructor(owner: ControlSessions, cid: string, target: Controlled, here: ControlHere) {
    this.#owner = owner;
    this.cid = cid;
    this.target = target;
    this.here = here;
    this.anchor = here.anchor;
  }

  /** A control message of the backend. */
  grip(message: Bytes, nowMs: number): void {
    this.#send(this.#expectAck({ cid: this.cid, type: "grip", message }, nowMs));
  }

  /** An implicit subscription of the route. */
  subscribe(channel: string, nowMs: number): void {
    this.#send(this.#expectAck({ cid: this.cid, type: "subscribe", channel }, nowMs));
  }

  /** The handler has yet to confirm something. */
  get hasUnacknowledged(): boolean {
    return this.acks !== undefined && this.acks.size > 0;
  }

  needKeepAlive(): void {
    this.#send({ cid: this.cid, type: "need-keep-alive" });
  }

  ack(reqId: string): void {
    this.#send({ cid: this.cid, type: "ack", reqId });
  }

  /** The WebSocket has ended. */
  close(): void {
    this.#send({ cid: this.cid, type: "gone" });
    this.#owner.remove(this);
  }

  hereReqId(): string {
    const reqId = String(this.#nextReqId);
    this.#nextReqId += 1;
    return reqId;
  }

  /** The handler has spoken: what waited for it goes out. */
  heardFrom(peer: string): void {
    this.peer = peer;
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    for (const item of waiting) this.#owner.send(peer, item);
  }

  /** The handler has a successor: it is told of this WebSocket, and again what it did not confirm. */
  begin(nowMs: number): void {
    this.peer = "";
    this.#waiting = [];
    for (const ack of this.acks?.values() ?? []) {
      ack.dueMs = nowMs + CONTROL_ACK_TIMEOUT_MS;
      this.#waiting.push(ack.item);
    }
  }

  #expectAck(given: ControlItem, nowMs: number): ControlItem {
    const reqId = this.hereReqId();
    const item = { ...given, reqId };
    this.acks ??= new Map();
    this.acks.set(reqId, { item, dueMs: nowMs + CONTROL_ACK_TIMEOUT_MS });
    this.#owner.awaitsAck(this);
    return item;
  }

  #send(item: ControlItem): void {
    if (this.peer !== "") {
      this.#owner.send(this.peer, item);
      return;
    }
    // Limit: CONTROL_WAITING_MAX
    if (this.#waiting === undefined || this.#waiting.length >= CONTROL_WAITING_MAX)
      this.target.controlLost();
    else this.#waiting.push(item);
  }
}

/** All ws-control sessions of this proxy. */
export class ControlSessions {
  readonly #instanceId: string;
  readonly #outputs: ControlOutputs;
  readonly #fanOut: FanOut;
  readonly #log: Logger;
  readonly #sessions = new Map<string, ControlSession>();
  readonly #buckets: Set<ControlSession>[] = Array.from(
    { length: REFRESH_CYCLE_S },
    () => new Set(),
  );
  readonly #unacknowledged = new Set<ControlSession>();
  readonly #out = new Map<string, ControlItem[]>();
  #nextBucket = 0;
  #bucket = 0;

  /** The sessions of the proxy before us are all here. */
  #isComplete = false;
  /** A handler waits to hear that it knows all of ours. */
  #isAwaited = false;
  readonly #seen = new SeenItems();
  /** The message that is being collected for several clients. */
  #shared: ControlItem | undefined;

  constructor(instanceId: string, outputs: ControlOutputs, fanOut: FanOut, log: Logger) {
    this.#instanceId = instanceId;
    this.#outputs = outputs;
    this.#fanOut = fanOut;
    this.#log = log;
  }

  open(cid: string, target: Controlled, here: ControlHere): ControlSession {
    const session = new ControlSession(this, cid, target, here);
    this.#sessions.set(cid, session);
    session.bucket = this.#nextBucket;
    this.#buckets[this.#nextBucket]?.add(session);
    this.#nextBucket = (this.#nextBucket + 1) % REFRESH_CYCLE_S;
    this.#outputs.init({ from: this.#instanceId, items: [hereItem(session)] });
    return session;
  }

  /**
   * A handler has started; there is but one, so all that were with another are with it from now on.
   * A packet without items says that it knows all of them, once we know them ourselves (`complete`).
   */
  handlerStarted(handler: string, nowMs: number): void {
    let items: ControlItem[] = [];
    for (const session of this.#sessions.values()) {
      if (session.peer === handler) continue;
      session.begin(nowMs);
      items.push(hereItem(session));
      if (items.length < CONTROL_ITEMS_MAX) continue;
      this.#outputs.init({ from: this.#instanceId, items });
      items = [];
    }
    if (items.length > 0) this.#outputs.init({ from: this.#instanceId, items });
    const ids = this.#seen.of(handler, nowMs);
    if (ids.length > 0) {
      const report = { cid: "", type: "sync", message: JSON.stringify(ids) } as const;
      this.#outputs.init({ from: this.#instanceId, items: [report] });
    }
    this.#isAwaited = true;
    if (this.#isComplete) this.#tellComplete();
  }

  /** All that the proxy before us had has been opened. */
  complete(): void {
    this.#isComplete = true;
    if (this.#isAwaited) this.#tellComplete();
  }

  #tellComplete(): void {
    this.#isAwaited = false;
    this.#outputs.init({ from: this.#instanceId, items: [] });
  }

  receive(packet: ControlPacket, nowMs: number): void {
    const { from, seq = 0 } = packet;
    for (const [index, item] of packet.items.entries()) {
      // First what is collected of the items before: the number stands for all that has been sent.
      if (!this.#isShared(item)) this.#endShared();
      if (seq > 0) this.#outputs.working(itemNumber(seq, index));
      if (item.type === "sync") {
        this.#confirm(from, item, nowMs);
        continue;
      }
      const session = this.#sessions.get(item.cid);
      if (session === undefined) {
        if (item.type !== "cancel" && item.type !== "ack" && from !== "")
          this.send(from, { cid: item.cid, type: "cancel" });
        continue;
      }
      if (from !== "" && from !== session.peer) session.heardFrom(from);
      if (item.type === "ack") this.#acknowledged(session, item.reqId);
      else if (item.type === "anchor") {
        session.anchor = item.anchor === undefined ? undefined : detach(item.anchor);
        session.target.anchorChanged();
      } else if (item.type !== "send" || !this.#share(session, item)) {
        this.#endShared();
        session.target.command(item, nowMs);
      }
    }
    this.#endShared();
  }

  /** All that came before has been taken: the items of these ids, if it names some. */
  #confirm(from: string, { reqId, message }: ControlItem, nowMs: number): void {
    if (message !== undefined) this.#seen.add(detach(from), readIds(message), nowMs);
    this.send(from, { cid: "", type: "ack", reqId });
  }

  /** Whether this is the message that is being collected for several clients. */
  #isShared(item: ControlItem): boolean {
    const shared = this.#shared;
    return (
      shared !== undefined &&
      item.type === "send" &&
      shared.message === item.message &&
      shared.contentType === item.contentType
    );
  }

  /** The same message for many comes as items in a row. */
  #share(session: ControlSession, item: ControlItem): boolean {
    const { contentType = "text", message = "" } = item;
    if (contentType !== "text" && contentType !== "binary") return false;
    if (this.#shared === undefined) {
      this.#shared = item;
      this.#fanOut.beginMessage(contentType, message);
    }
    return session.target.share(item, this.#fanOut);
  }

  #endShared(): void {
    if (this.#shared === undefined) return;
    this.#shared = undefined;
    this.#fanOut.end();
  }

  /** Refreshes a share of the sessions, and finds those whose handler is silent. Once a second. */
  tick(nowMs: number): void {
    const bucket = this.#buckets[this.#bucket] as Set<ControlSession>;
    this.#bucket = (this.#bucket + 1) % REFRESH_CYCLE_S;
    for (const { cid, peer } of bucket)
      if (peer !== "") this.send(peer, { cid, type: "keep-alive", ttl: CONTROL_TTL_S });
    for (const session of [...this.#unacknowledged]) {
      const [ack] = session.acks?.values() ?? [];
      if (ack === undefined || ack.dueMs > nowMs) continue;
      this.#log.debug("control message not acknowledged, client dropped", { cid: session.cid });
      session.target.controlLost();
    }
  }

  remove(session: ControlSession): void {
    if (this.#sessions.get(session.cid) !== session) return;
    this.#sessions.delete(session.cid);
    this.#buckets[session.bucket]?.delete(session);
    this.#unacknowledged.delete(session);
  }

  awaitsAck(session: ControlSession): void {
    this.#unacknowledged.add(session);
  }

  /** Collected until `flush`. */
  send(to: string, item: ControlItem): void {
    if (this.#out.size === 0) this.#outputs.dirty();
    let items = this.#out.get(to);
    if (items === undefined) {
      items = [];
      this.#out.set(to, items);
    }
    items.push(item);
    if (items.length < CONTROL_ITEMS_MAX) return; // Limit: CONTROL_ITEMS_MAX
    this.#out.set(to, []);
    this.#outputs.stream(to, { from: this.#instanceId, items });
  }

  flush(): void {
    for (const [to, items] of this.#out)
      if (items.length > 0) this.#outputs.stream(to, { from: this.#instanceId, items });
    this.#out.clear();
  }

  #acknowledged(session: ControlSession, reqId: string | undefined): void {
    if (reqId === undefined || session.acks === undefined) return;
    session.acks.delete(reqId);
    if (session.acks.size > 0) return;
    this.#unacknowledged.delete(session);
    session.target.controlConfirmed();
  }
}

function readIds(message: Bytes): string[] {
  const ids = decodeAnchor(toByteString(message));
  return Array.isArray(ids) ? ids.filter((one) => typeof one === "string") : [];
}

function hereItem(session: ControlSession): ControlItem {
  const { here } = session;
  return {
    cid: session.cid,
    type: "here",
    reqId: session.hereReqId(),
    uri: here.uri,
    route: here.route === "" ? undefined : here.route,
    separateStats: here.separateStats,
    channelPrefix: here.channelPrefix === "" ? undefined : here.channelPrefix,
    debug: here.debug,
    trusted: here.trusted,
    logLevel: here.logLevel,
    ttl: CONTROL_TTL_S,
    anchors: here.isSucceeded,
    anchor: session.anchor,
    marks: here.marks,
  };
}
