import type { Bytes } from "@pushpin/tnetstrings";
import { ID_LIST_MAX, type IdEntry, Packet } from "./packet.ts";
import type { ResponseHead, Session } from "./session.ts";

interface Group {
  readonly to: string;
  readonly viaRouter: boolean;
  ids: IdEntry[];
}

/** Limit: peers that are remembered between bodies. */
const PEERS_MAX = 1024;

/**
 * One body, one whole response or one WebSocket message for many sessions: packets that name up to
 * 128 sessions each, one series for each connection manager. The body is shared by all of them.
 */
export class FanOut {
  readonly #from: string;
  readonly #send: (to: string, packet: Packet, viaRouter: boolean) => void;
  readonly #groups = new Map<string, Group>();
  readonly #routerGroups = new Map<string, Group>();
  #body: Bytes = "";
  #contentType = "";
  #head: ResponseHead | undefined;
  #more = true;
  #last: Group | undefined;

  constructor(from: string, send: (to: string, packet: Packet, viaRouter: boolean) => void) {
    this.#from = from;
    this.#send = send;
  }

  /** A piece of the bodies of HTTP responses. */
  begin(body: Bytes): void {
    this.#begin("", body, true);
  }

  /** A whole response, head and body; it ends the sessions it is added to. */
  beginResponse(head: ResponseHead, body: Bytes): void {
    this.#begin("", body, false);
    this.#head = head;
  }

  /** A whole WebSocket message. */
  beginMessage(contentType: "text" | "binary", body: Bytes): void {
    this.#begin(contentType, body, false);
  }

  #begin(contentType: string, body: Bytes, more: boolean): void {
    this.#flushAll();
    this.#body = body;
    this.#contentType = contentType;
    this.#head = undefined;
    this.#more = more;
  }

  /** False if this session needs a packet of its own: without credits, or something waits. */
  add(session: Session): boolean {
    if (!session.multi || !session.takeOutCredits(this.#body.length)) return false;
    let group = this.#last;
    if (group === undefined || group.to !== session.peer || group.viaRouter !== session.routerResp)
      group = this.#groupOf(session);
    group.ids.push({ id: session.id, seq: session.nextOutSeq() });
    if (this.#head !== undefined) session.answeredByList();
    if (group.ids.length >= ID_LIST_MAX) this.#flush(group); // Limit: ID_LIST_MAX
    return true;
  }

  end(): void {
    this.#flushAll();
    this.#body = "";
    this.#head = undefined;
  }

  #flushAll(): void {
    for (const group of this.#groups.values()) if (group.ids.length > 0) this.#flush(group);
    for (const group of this.#routerGroups.values()) if (group.ids.length > 0) this.#flush(group);
  }

  #groupOf(session: Session): Group {
    const groups = session.routerResp ? this.#routerGroups : this.#groups;
    let group = groups.get(session.peer);
    if (group === undefined) {
      if (groups.size >= PEERS_MAX) {
        this.#flushAll();
        groups.clear();
      }
      group = { to: session.peer, viaRouter: session.routerResp, ids: [] };
      groups.set(session.peer, group);
    }
    this.#last = group;
    return group;
  }

  #flush(group: Group): void {
    const packet = new Packet();
    packet.from = this.#from;
    packet.more = this.#more;
    packet.contentType = this.#contentType;
    packet.body = this.#body;
    const head = this.#head;
    if (head !== undefined) {
      packet.code = head.code;
      packet.reason = head.reason;
      packet.headers = head.headers;
    }
    const [only] = group.ids;
    if (group.ids.length === 1 && only !== undefined) {
      packet.id = only.id;
      packet.seq = only.seq;
    } else packet.ids = group.ids;
    group.ids = [];
    this.#send(group.to, packet, group.viaRouter);
  }
}
