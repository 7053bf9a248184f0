import { parseControlMessage } from "@pushpin/grip";
import { detach, toByteString } from "@pushpin/tnetstrings";
import { ANCHOR_MAX_BYTES, decodeAnchor } from "@pushpin/zhttp";
import type { ControlItem, ControlPacket } from "@pushpin/zrpc";
import type { Services } from "../services.ts";
import { ControlOut } from "./control-out.ts";
import { WsSession, type WsSessionOwner } from "./ws-session.ts";

/** What a proxy says when it does not say how long. */
const DEFAULT_TTL_S = 60;

export interface ProxyEvents {
  /** A proxy has got everything it was sent before the `sync` of this number. */
  synced(proxy: string, number: number): void;
  /** It has items of these ids of the handler before us. */
  reported(ids: readonly string[]): void;
}

/** All WebSocket sessions, and what the proxies say about them (handler.md 5.2, wire.md 5.5). */
export class WsControl implements WsSessionOwner {
  readonly services: Services;
  readonly out: ControlOut;
  readonly #sessions = new Map<string, WsSession>();
  /** Sessions whose proxies are to be told what a successor of ours needs. */
  readonly #changed = new Set<WsSession>();

  readonly #events: ProxyEvents;

  constructor(services: Services, firstSeq: number, events: ProxyEvents) {
    this.services = services;
    this.#events = events;
    this.out = new ControlOut(services.settings.instanceId, firstSeq, (to, frame) =>
      services.outputs.wsControl(to, frame),
    );
  }

  get(cid: string): WsSession | undefined {
    return this.#sessions.get(cid);
  }

  has(cid: string): boolean {
    return this.#sessions.has(cid);
  }

  get size(): number {
    return this.#sessions.size;
  }

  receive(packet: ControlPacket, nowMs: number): void {
    const { from } = packet;
    if (from === "") {
      this.services.log.debug("ws-control packet without a sender dropped");
      return;
    }
    // Acknowledgements first: what follows may end the session.
    for (const { cid, type, reqId } of packet.items)
      if (type !== "ack" && reqId !== undefined) this.out.add(from, { cid, type: "ack", reqId });
    for (const item of packet.items) this.#item(from, item, nowMs);
    this.sendAnchors();
    this.out.flush();
  }

  changed(session: WsSession): void {
    if (session.hasKeeper) this.#changed.add(session);
  }

  sendAnchors(): void {
    if (this.#changed.size === 0) return;
    const { settings, log } = this.services;
    for (const session of this.#changed) {
      if (session.isClosed) continue;
      const anchor = session.anchor(settings.wallOffsetMs);
      // Limit: ANCHOR_MAX_BYTES
      if (anchor.length <= ANCHOR_MAX_BYTES)
        this.out.add(session.peer, { cid: session.cid, type: "anchor", anchor });
      else log.debug("WebSocket too large to survive a restart of the handler", { cid: session.cid });
    }
    this.#changed.clear();
  }

  remove(session: WsSession): void {
    if (this.#sessions.get(session.cid) !== session) return;
    this.#sessions.delete(session.cid);
    session.end();
  }

  #item(from: string, item: ControlItem, nowMs: number): void {
    if (item.type === "here") {
      this.#here(from, item, nowMs);
      return;
    }
    const session = this.#sessions.get(item.cid);
    if (session === undefined) {
      if (item.cid === "") this.#ofProxy(from, item);
      else if (item.type !== "cancel" && item.type !== "gone" && item.type !== "ack")
        this.out.add(from, { cid: item.cid, type: "cancel" });
      return;
    }
    if (session.peer !== from) session.peer = detach(from);
    switch (item.type) {
      case "keep-alive":
        session.refresh(item.ttl ?? DEFAULT_TTL_S, nowMs);
        return;
      case "gone":
      case "cancel":
        this.remove(session);
        return;
      case "grip": {
        const message = parseControlMessage(item.message ?? "");
        if (message.ok) session.control(message.value, nowMs);
        else
          this.services.log.debug("control message ignored", {
            cid: item.cid,
            error: message.error,
          });
        return;
      }
      case "need-keep-alive":
        session.sendKeepAlive();
        return;
      case "subscribe":
        if (item.channel !== undefined) session.subscribeImplicit(detach(item.channel), nowMs);
        return;
      case "ack":
        if (item.reqId !== undefined) session.acknowledged(item.reqId);
        return;
      default:
    }
  }

  /** About nobody in particular. */
  #ofProxy(from: string, { type, reqId, message }: ControlItem): void {
    if (type === "ack") this.#events.synced(from, Number(reqId));
    else if (type === "sync") {
      const ids = decodeAnchor(toByteString(message ?? ""));
      if (Array.isArray(ids)) this.#events.reported(ids.filter((one) => typeof one === "string"));
    }
  }

  #here(from: string, item: ControlItem, nowMs: number): void {
    let session = this.#sessions.get(item.cid);
    if (session === undefined) {
      const cid = detach(item.cid);
      session = new WsSession(this, cid, detach(item.uri ?? ""), detach(from));
      this.#sessions.set(cid, session);
      if (item.anchor !== undefined)
        session.restore(item.anchor, this.services.settings.wallOffsetMs, nowMs);
    } else if (session.sid !== "") {
      this.services.outputs.storeLastIds(new Map([[session.sid, new Map()]]));
    }
    if (item.anchors) this.out.keepFor(detach(from));
    if (session.peer !== from) {
      const before = session.peer;
      session.peer = detach(from);
      this.out.replay(session.cid, before, session.peer, markOf(before, item.marks ?? ""));
    }
    session.hasKeeper = item.anchors ?? false;
    session.refresh(item.ttl ?? DEFAULT_TTL_S, nowMs);
    session.configure({
      route: item.route === undefined ? undefined : detach(item.route),
      separateStats: item.separateStats,
      debug: item.debug,
      channelPrefix: item.channelPrefix === undefined ? undefined : detach(item.channelPrefix),
      trusted: item.trusted,
    });
  }
}

/** The number behind a name in `proxy-0-a 415,proxy-0-b 3`; 0 where it is not named. */
function markOf(proxy: string, marks: string): number {
  for (const entry of marks.split(",")) {
    const [name, mark = ""] = entry.split(" ");
    if (name === proxy && /^\d{1,15}$/.test(mark)) return Number(mark);
  }
  return 0;
}
