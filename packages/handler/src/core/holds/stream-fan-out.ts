import type { Bytes } from "@pushpin/tnetstrings";
import { ID_LIST_MAX, type IdEntry, Packet, type Session } from "@pushpin/zhttp";

interface Group {
  readonly to: string;
  readonly viaRouter: boolean;
  ids: IdEntry[];
}

/**
 * One body for many streams: packets that name up to 128 sessions each, one series for each
 * connection manager. The body is shared by all of them.
 */
export class StreamFanOut {
  readonly #from: string;
  readonly #send: (to: string, packet: Packet, viaRouter: boolean) => void;
  readonly #groups = new Map<string, Group>();
  readonly #routerGroups = new Map<string, Group>();
  #body: Bytes = "";
  #last: Group | undefined;

  constructor(from: string, send: (to: string, packet: Packet, viaRouter: boolean) => void) {
    this.#from = from;
    this.#send = send;
  }

  begin(body: Bytes): void {
    this.#body = body;
  }

  /** False if this session needs a packet of its own: without credits, or something waits. */
  add(session: Session): boolean {
    if (!session.multi || !session.takeOutCredits(this.#body.length)) return false;
    let group = this.#last;
    if (group === undefined || group.to !== session.peer || group.viaRouter !== session.routerResp)
      group = this.#groupOf(session);
    group.ids.push({ id: session.id, seq: session.nextOutSeq() });
    if (group.ids.length >= ID_LIST_MAX) this.#flush(group); // Limit: ID_LIST_MAX
    return true;
  }

  end(): void {
    this.#flushAll();
    this.#body = "";
  }

  #flushAll(): void {
    for (const group of this.#groups.values()) if (group.ids.length > 0) this.#flush(group);
    for (const group of this.#routerGroups.values()) if (group.ids.length > 0) this.#flush(group);
  }

  #groupOf(session: Session): Group {
    const groups = session.routerResp ? this.#routerGroups : this.#groups;
    let group = groups.get(session.peer);
    if (group === undefined) {
      if (groups.size >= 1024) {
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
    packet.more = true;
    packet.body = this.#body;
    const [only] = group.ids;
    if (group.ids.length === 1 && only !== undefined) {
      packet.id = only.id;
      packet.seq = only.seq;
    } else packet.ids = group.ids;
    group.ids = [];
    this.#send(group.to, packet, group.viaRouter);
  }
}
