import type { Bytes, TnetMap } from "@pushpin/tnetstrings";
import {
  INITIAL_CREDITS,
  KeepAliveSchedule,
  Packet,
  peerRestarted,
  Predecessors,
  type Scheduled,
  Session,
} from "@pushpin/zhttp";

/** A request of the handler itself, carried out by the proxy (wire.md 6.1). */
export interface InternalRequestData {
  readonly method: string;
  readonly uri: string;
  readonly headers: string[];
  readonly body: Bytes;
  readonly route: string | undefined;
  readonly trusted: boolean;
  /** Same origin as the client's request: the proxy uses its routes. */
  readonly preferInternal: boolean;
  /** Absent for network filters. */
  readonly autoShare?: boolean;
}

export interface RequestListener {
  onHead(code: number, headers: string[], nowMs: number): void;
  /** `grant` on the request says when more may come. */
  onBody(body: Bytes, nowMs: number): void;
  onDone(nowMs: number): void;
  /** A wire condition, or `disconnected`. */
  onFailed(condition: string, nowMs: number): void;
}

export interface RequestOutputs {
  sendFirst(packet: Packet): void;
  send(to: string, packet: Packet): void;
  /** Of first packets sent now, and the one before which they may be lost. */
  epochs(): { readonly epoch: number; readonly lostEpoch: number };
}

export class InternalRequest implements Scheduled {
  readonly session: Session;
  readonly listener: RequestListener;
  /** Of requests that ask for what was missed. */
  readonly group: Group | undefined;
  readonly #owner: InternalRequests;
  keepAliveSlot?: number;
  hasHead = false;
  /** Nobody listens any more. */
  isCancelled = false;

  constructor(
    session: Session,
    listener: RequestListener,
    group: Group | undefined,
    owner: InternalRequests,
  ) {
    this.session = session;
    this.listener = listener;
    this.group = group;
    this.#owner = owner;
  }

  /** The body bytes have been taken; as many more may come. */
  grant(bytes: number): void {
    this.session.grant(bytes);
    this.#owner.flush(this);
  }

  cancel(): void {
    this.isCancelled = true;
    this.session.cancel();
    this.#owner.flush(this);
    this.#owner.forget(this);
  }
}

/** Requests that are the same but for the client: the proxy makes one request to the backend of them. */
interface Group {
  readonly key: string;
  isRunning: boolean;
  readonly members: Set<InternalRequest>;
  /** Members that have not been sent yet. */
  readonly waiting: Map<InternalRequest, Packet>;
}

/**
 * All requests of the handler that are under way. Those that ask for what was missed come in storms:
 * equal ones go together, and only so many different ones at a time.
 */
export class InternalRequests {
  readonly #from: string;
  readonly #outputs: RequestOutputs;
  readonly #requests = new Map<string, InternalRequest>();
  readonly #keepAlives = new KeepAliveSchedule<InternalRequest>();
  readonly #concurrency: number;
  readonly #groups = new Map<string, Group>();
  readonly #queue = new Set<Group>();
  readonly #predecessors = new Predecessors();
  #running = 0;
  /** Time of whatever is worked on. */
  #nowMs = 0;
  #count = 0;

  /** `concurrency`: different shared requests at a time. */
  constructor(from: string, concurrency: number, outputs: RequestOutputs) {
    this.#from = from;
    this.#concurrency = concurrency;
    this.#outputs = outputs;
  }

  /** Under way, or waiting for their turn. */
  get size(): number {
    let size = this.#requests.size;
    for (const { waiting } of this.#queue) size += waiting.size;
    return size;
  }

  start(data: InternalRequestData, listener: RequestListener, nowMs: number): InternalRequest {
    this.#nowMs = nowMs;
    this.#count += 1;
    const session = new Session({
      role: "initiator",
      kind: "http",
      from: this.#from,
      id: `${this.#from}-${this.#count.toString(36)}`,
      nowMs,
      credits: INITIAL_CREDITS,
      offerRouter: true,
    });
    const group = data.autoShare === true ? this.#groupOf(data) : undefined;
    const request = new InternalRequest(session, listener, group, this);
    const first = new Packet();
    first.method = data.method;
    first.uri = data.uri;
    first.headers = data.headers;
    first.body = data.body;
    first.passthrough = passthrough(data);
    if (group === undefined) this.#send(request, first);
    else this.#join(group, request, first);
    return request;
  }

  #send(request: InternalRequest, first: Packet): void {
    this.#requests.set(request.session.id, request);
    this.#keepAlives.add(request);
    request.session.openLater(this.#outputs.epochs().epoch, this.#nowMs);
    request.session.open(first);
    this.flush(request);
  }

  #groupOf(data: InternalRequestData): Group {
    const key = [data.method, data.uri, data.route, data.trusted, ...data.headers].join("\n");
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = { key, isRunning: false, members: new Set(), waiting: new Map() };
      this.#groups.set(key, group);
    }
    return group;
  }

  #join(group: Group, request: InternalRequest, first: Packet): void {
    group.members.add(request);
    if (group.isRunning) {
      this.#send(request, first);
      return;
    }
    group.waiting.set(request, first);
    this.#queue.add(group);
    this.#startGroups();
  }

  #startGroups(): void {
    for (const group of this.#queue) {
      if (this.#running >= this.#concurrency) return; // Limit: recover_concurrency
      this.#queue.delete(group);
      group.isRunning = true;
      this.#running += 1;
      for (const [request, first] of group.waiting) this.#send(request, first);
      group.waiting.clear();
    }
  }

  #leave(request: InternalRequest): void {
    const { group } = request;
    if (group === undefined || !group.members.delete(request)) return;
    group.waiting.delete(request);
    if (group.members.size > 0) return;
    this.#groups.delete(group.key);
    this.#queue.delete(group);
    if (!group.isRunning) return;
    this.#running -= 1;
    this.#startGroups();
  }

  /** A proxy has started: requests that were with the one before it have failed. */
  proxyStarted(proxy: string, nowMs: number): void {
    this.#nowMs = nowMs;
    if (!this.#predecessors.announce(proxy)) return;
    const { lostEpoch } = this.#outputs.epochs();
    for (const [id, { session }] of [...this.#requests])
      if (this.#predecessors.isLost(session, proxy, lostEpoch))
        this.#receive(id, peerRestarted(), undefined, nowMs);
  }

  receive(packet: Packet, nowMs: number): void {
    this.#nowMs = nowMs;
    if (packet.ids !== undefined) {
      for (const { id, seq } of packet.ids) this.#receive(id, packet, seq, nowMs);
      return;
    }
    this.#receive(packet.id, packet, packet.seq, nowMs);
  }

  /** Call it once a second. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    const { packets, expired } = this.#keepAlives.tick(nowMs);
    for (const { to, packet } of packets) this.#outputs.send(to, packet);
    for (const request of expired) {
      this.forget(request);
      request.listener.onFailed("connection-timeout", nowMs);
    }
  }

  flush(request: InternalRequest): void {
    const { session } = request;
    for (let packet = session.takePacket(); packet !== undefined; packet = session.takePacket()) {
      if (packet.seq === 0) this.#outputs.sendFirst(packet);
      else this.#outputs.send(session.peer, packet);
    }
  }

  forget(request: InternalRequest): void {
    this.#requests.delete(request.session.id);
    this.#keepAlives.remove(request);
    this.#leave(request);
  }

  #receive(id: string, packet: Packet, seq: number | undefined, nowMs: number): void {
    const request = this.#requests.get(id);
    if (request === undefined) return;
    const { session, listener } = request;
    const received = session.receive(packet, seq, nowMs);
    if (received === "error" || received === "cancel" || received === "failed") {
      this.flush(request);
      this.forget(request);
      listener.onFailed(packet.type === "error" ? packet.condition : "disconnected", nowMs);
      return;
    }
    if (received === "handoff-start") session.handoffProceed();
    if (received === "data") this.#data(request, packet, nowMs);
    this.flush(request);
  }

  #data(request: InternalRequest, packet: Packet, nowMs: number): void {
    const { listener, session } = request;
    if (!packet.more) this.forget(request);
    if (!request.hasHead) {
      if (packet.code === undefined) {
        this.forget(request);
        session.cancel();
        listener.onFailed("undefined-condition", nowMs);
        return;
      }
      request.hasHead = true;
      listener.onHead(packet.code, packet.headers ?? [], nowMs);
    }
    if (packet.body.length > 0 && !request.isCancelled) listener.onBody(packet.body, nowMs);
    if (!packet.more && !request.isCancelled) listener.onDone(nowMs);
  }
}

function passthrough(data: InternalRequestData): TnetMap {
  const map: TnetMap = new Map();
  if (data.route !== undefined && data.route !== "") map.set("route", data.route);
  if (data.preferInternal) map.set("prefer-internal", true);
  if (data.trusted) map.set("trusted", true);
  if (data.autoShare !== undefined) map.set("auto-share", data.autoShare);
  return map;
}
