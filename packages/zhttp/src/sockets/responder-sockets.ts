import type { Logger } from "@pushpin/log";
import { ZmqSocket } from "@pushpin/zmq";
import { Packet } from "../core/packet.ts";
import { decodeFrame } from "../core/packet-decoder.ts";
import { encodePacket } from "../core/packet-encoder.ts";
import { FlushTurn, FrameBatch } from "./frame-batch.ts";
import type { Gathering } from "./gathering.ts";
import type { SocketAddress } from "./initiator-sockets.ts";
import { BATCH_TOPIC, BatchPeers, frameIndex, PARTS_KEY } from "./peers.ts";

export interface ResponderSocketsOptions {
  readonly instanceId: string;
  /** First packets; absent where sessions come from elsewhere (handler). */
  readonly pull?: SocketAddress;
  readonly stream: SocketAddress;
  readonly pub: SocketAddress;
  readonly ipcFileMode?: number;
  /** Packets are delivered after `start()` only, where others of the owner have yet to be opened. */
  readonly waitsForStart?: boolean;
  /** Off: a `T` frame for each packet, whatever the other end takes. On by default. */
  readonly batchFrames?: boolean;
  readonly log: Logger;
  readonly onFirst: (packet: Packet) => void;
  readonly onPacket: (packet: Packet) => void;
  /** Learns which initiators there are, and which of them have handed over everything. */
  readonly gathering?: Gathering;
  /**
   * The initiator of ours has handed over whatever there was of our predecessor; `ids` are those of items
   * that it had published.
   */
  readonly onHandedOver?: (instanceId: string, ids: readonly string[]) => void;
  /** The initiator has got everything it was sent before the `sync` of this number. */
  readonly onSynced?: (instanceId: string, number: number) => void;
  /** An initiator subscribed to its answers, or went away. */
  readonly onPeer?: (instanceId: string, present: boolean) => void;
}

type HeldPackets = Map<string, { readonly packets: Packet[]; readonly sinceMs: number }>;

const EMPTY = Buffer.alloc(0);
/** Limit: packets that wait until the way to one initiator is open. */
export const HELD_PACKETS_MAX = 10_000;
const ANNOUNCE_AGAIN_MS = 10;
/** Limit: time one that leaves waits for initiators to say that they send it nothing new; then it goes. Unit: ms. */
export const LEAVE_ANSWERS_MAX_MS = 3000;
/** An initiator the way to which is not open by then is not coming. */
const HELD_FOR_MS = 10_000;

/**
 * The three sockets of a ZHTTP responder: PULL, ROUTER, and XPUB in the place of the original's
 * PUB, which sees initiators come and go.
 */
export class ResponderSockets {
  malformed = 0;
  /**
   * Number of what the owner has passed on last, for its successor: each initiator keeps the number
   * that came behind what it was sent. 0: none.
   */
  mark = 0;
  readonly #options: ResponderSocketsOptions;
  readonly #turn = new FlushTurn();
  readonly #peers = new BatchPeers();
  /** Initiators that take large bodies as parts of their own. */
  readonly #partPeers = new BatchPeers();
  readonly #pubBatches = new Map<string, FrameBatch>();
  readonly #routerBatches = new Map<string, FrameBatch>();
  /** Topics seen by the XPUB. */
  readonly #present = new Set<string>();
  /** Initiators of ours that can be reached over the stream: something has come from them that way. */
  readonly #reachable = new BatchPeers();
  /** Answers to initiators that are about to subscribe: after a restart requests come before that. */
  readonly #heldForPub: HeldPackets = new Map();
  /** The same for the stream, whose connection comes about by itself. */
  readonly #heldForStream: HeldPackets = new Map();
  #heldTimer: NodeJS.Timeout | undefined;
  /** Initiators that have not answered our announcement. */
  readonly #announcing = new Set<string>();
  /** Those of them that are about to be told once more. */
  readonly #announceTimers = new Map<string, NodeJS.Timeout>();
  /** Initiators that may still send us first packets, though we leave. */
  readonly #sending = new Set<string>();
  #allHaveLeft: () => void = () => {};
  #isAnnounced = false;
  #isClosed = false;
  #pull: ZmqSocket | undefined;
  #stream!: ZmqSocket;
  #pub!: ZmqSocket;

  private constructor(options: ResponderSocketsOptions) {
    this.#options = options;
  }

  static async open(options: ResponderSocketsOptions): Promise<ResponderSockets> {
    const sockets = new ResponderSockets(options);
    const { log } = options;
    options.gathering?.addPlaces(options.stream.specs.length);
    const shared = {
      log,
      ...(options.ipcFileMode === undefined ? {} : { ipcFileMode: options.ipcFileMode }),
    };
    sockets.#pub = await ZmqSocket.open({
      ...shared,
      type: "xpub",
      ...options.pub,
      // A connecting XPUB otherwise never hears that a subscriber has gone.
      immediate: options.pub.mode === "connect",
      lingerMs: 500,
      onSubscription: (topic, present) => sockets.#subscription(topic, present),
    });
    sockets.#stream = await ZmqSocket.open({
      ...shared,
      type: "router",
      ...options.stream,
      identity: options.instanceId,
      // A connecting ROUTER otherwise keeps the name of the peer that was there first.
      immediate: options.stream.mode === "connect",
      lingerMs: 500,
      isPaused: true,
      onMessage: (frames) => sockets.#received(frames, frameIndex(frames), sockets.#followUp),
      onUnroutable: ([to]) => {
        if (to !== undefined) sockets.#announceLater(Buffer.from(to).toString("latin1"));
      },
    });
    if (options.pull !== undefined) {
      sockets.#pull = await ZmqSocket.open({
        ...shared,
        type: "pull",
        ...options.pull,
        receiveHwm: 100,
        isPaused: true,
        onMessage: (frames) => sockets.#received(frames, 0, options.onFirst),
      });
    }
    // Whoever waits for us has us then: answers to packets may go out at once.
    if (!options.waitsForStart) setImmediate(() => sockets.start());
    return sockets;
  }

  /** From now on packets are delivered; those that came before have waited. */
  start(): void {
    this.#stream.resume();
    this.#pull?.resume();
  }

  /** Sends to the initiator `to`; over the stream ROUTER where it offered that. */
  send(to: string, packet: Packet, viaRouter: boolean): void {
    if (!viaRouter && !this.#present.has(to)) {
      this.#hold(this.#heldForPub, to, packet);
      return;
    }
    if (viaRouter && this.#isOpening(to)) {
      this.#hold(this.#heldForStream, to, packet);
      return;
    }
    if (!this.#peers.has(to)) {
      if (viaRouter) this.#stream.send([Buffer.from(to, "latin1"), EMPTY, encodePacket(packet)]);
      else this.#pub.send(Buffer.concat([Buffer.from(`${to} `, "latin1"), encodePacket(packet)]));
      return;
    }
    const batches = viaRouter ? this.#routerBatches : this.#pubBatches;
    const batch = batches.get(to) ?? this.#openBatch(batches, to, viaRouter);
    this.#turn.add(batch, packet);
  }

  /**
   * Asks an initiator of ours to say when it has got everything it was sent this way so far, the items of
   * `ids` among it.
   */
  sync(to: string, number: number, ids: readonly string[], viaRouter: boolean): void {
    const packet = new Packet();
    if (ids.length > 0) packet.ext = new Map([["ids", [...ids]]]);
    packet.type = "sync";
    packet.from = this.#options.instanceId;
    packet.seq = number;
    this.send(to, packet, viaRouter);
  }

  /** Tells the sockets that `to` takes `B` frames, where a session came by another way (accept). */
  noteBatchPeer(to: string): void {
    this.#peers.add(to);
  }

  isBatchPeer(id: string): boolean {
    return this.#peers.has(id);
  }

  isPresent(instanceId: string): boolean {
    return this.#present.has(instanceId);
  }

  /** Initiators that are there: each subscribes to its answers. */
  get initiators(): number {
    return this.#present.size;
  }

  /**
   * From now on sessions of our predecessor are welcome: every initiator of ours, there or to come,
   * is told that we have started.
   */
  announce(): void {
    this.#isAnnounced = true;
    for (const id of this.#present) this.#greet(id);
  }

  /**
   * A successor is about to take our place: new sessions wait for it at the initiators of ours. Resolves when
   * these have said so: what they sent before is on its way by then.
   */
  async leave(): Promise<void> {
    this.#isAnnounced = false;
    for (const id of this.#peers.all()) {
      if (!this.#present.has(id)) continue;
      const packet = new Packet();
      packet.type = "leaving";
      packet.from = this.#options.instanceId;
      this.#sending.add(id);
      this.send(id, packet, false);
    }
    if (this.#sending.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#allHaveLeft = resolve;
      setTimeout(resolve, LEAVE_ANSWERS_MAX_MS).unref(); // Limit: LEAVE_ANSWERS_MAX_MS
    });
  }

  #hasLeft(initiator: string): void {
    if (this.#sending.delete(initiator) && this.#sending.size === 0) this.#allHaveLeft();
  }

  /** Stops taking new sessions; they wait at the initiator. */
  pauseIntake(): void {
    this.#pull?.pause();
  }

  resumeIntake(): void {
    this.#pull?.resume();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#isAnnounced = false;
    clearTimeout(this.#heldTimer);
    for (const timer of this.#announceTimers.values()) clearTimeout(timer);
    this.#turn.flush();
    await Promise.all([this.#pull?.close(), this.#stream.close(), this.#pub.close()]);
  }

  /** One of ours that is not known to be connected yet: a ROUTER drops what it cannot route. */
  #isOpening(to: string): boolean {
    return !this.#reachable.has(to) && this.#peers.has(to);
  }

  /** Whoever sends over the stream can be reached over it. */
  readonly #followUp = (packet: Packet): void => {
    this.#reach(packet.from);
    this.#options.onPacket(packet);
  };

  #reach(from: string): void {
    if (this.#reachable.has(from) || !this.#peers.has(from)) return;
    this.#reachable.add(from);
    this.#release(this.#heldForStream, from, true);
  }

  #hold(all: HeldPackets, to: string, packet: Packet): void {
    const held = all.get(to);
    if (held === undefined) all.set(to, { packets: [packet], sinceMs: performance.now() });
    else if (held.packets.length < HELD_PACKETS_MAX) held.packets.push(packet); // Limit: HELD_PACKETS_MAX
    this.#heldTimer ??= setTimeout(() => this.#giveUp(), HELD_FOR_MS);
  }

  /** Whoever has not come by now is not coming. */
  #giveUp(): void {
    this.#heldTimer = undefined;
    const oldestMs = performance.now() - HELD_FOR_MS;
    for (const all of [this.#heldForPub, this.#heldForStream])
      for (const [to, { packets, sinceMs }] of all) {
        if (sinceMs > oldestMs) continue;
        all.delete(to);
        this.#options.log.debug("answers for nobody dropped", { to, packets: packets.length });
      }
    if (this.#heldForPub.size + this.#heldForStream.size > 0)
      this.#heldTimer = setTimeout(() => this.#giveUp(), HELD_FOR_MS);
  }

  #release(all: HeldPackets, to: string, viaRouter: boolean): void {
    const held = all.get(to);
    if (held === undefined) return;
    all.delete(to);
    for (const packet of held.packets) this.send(to, packet, viaRouter);
  }

  #openBatch(batches: Map<string, FrameBatch>, to: string, viaRouter: boolean): FrameBatch {
    const address = Buffer.from(to, "latin1");
    const mark = this.#markOnce();
    const batch = new FrameBatch({
      address: viaRouter ? "" : `${to} `,
      send: viaRouter
        ? (frame, parts) => this.#stream.send([address, EMPTY, frame, ...parts])
        : (frame, parts) => this.#pub.send(parts.length === 0 ? frame : [frame, ...parts]),
      takesParts: () => this.#partPeers.has(to),
      last: mark,
      isSingle: this.#options.batchFrames === false,
    });
    if (batches.size >= 1024) batches.clear();
    batches.set(to, batch);
    return batch;
  }

  #subscription(topic: string, present: boolean): void {
    if (topic.startsWith(BATCH_TOPIC)) {
      if (!present) return;
      const peer = topic.slice(BATCH_TOPIC.length);
      this.#peers.add(peer);
      // Otherwise its other subscription is about to come.
      if (this.#isAnnounced && this.#present.has(peer)) this.#announceTo(peer);
      return;
    }
    const id = topic.endsWith(" ") ? topic.slice(0, -1) : topic;
    if (present) {
      this.#present.add(id);
      this.#release(this.#heldForPub, id, false);
      if (this.#isAnnounced && !this.#announcing.has(id)) this.#greet(id);
    } else {
      this.#present.delete(id);
      this.#announcing.delete(id);
      this.#options.gathering?.gone(id);
      this.#hasLeft(id);
    }
    this.#options.onPeer?.(id, present);
  }

  /** One of the original's has nothing for us. */
  #greet(id: string): void {
    if (this.#peers.has(id)) this.#announceTo(id);
    else this.#options.gathering?.complete(id);
  }

  #markOnce(): () => Packet | undefined {
    let told = 0;
    return () => {
      if (this.mark === told) return undefined;
      told = this.mark;
      const packet = new Packet();
      packet.type = "mark";
      packet.from = this.#options.instanceId;
      packet.seq = told;
      return packet;
    };
  }

  /**
   * Tells an initiator of ours that sessions of our predecessor may be handed to us; by the way on
   * which they will come, so that it is known to be open.
   */
  #announceTo(peer: string): void {
    this.#announcing.add(peer);
    this.#options.gathering?.expect(peer);
    const packet = new Packet();
    packet.type = "takeover";
    packet.from = this.#options.instanceId;
    packet.ext = new Map([[PARTS_KEY, true]]);
    this.#stream.send([Buffer.from(peer, "latin1"), EMPTY, encodePacket(packet)]);
  }

  /** The way to the initiator is not open yet. */
  #announceLater(peer: string): void {
    if (!this.#announcing.has(peer) || this.#isClosed || this.#announceTimers.has(peer)) return;
    const timer = setTimeout(() => {
      this.#announceTimers.delete(peer);
      if (this.#isAnnounced && this.#announcing.has(peer)) this.#announceTo(peer);
    }, ANNOUNCE_AGAIN_MS);
    this.#announceTimers.set(peer, timer);
  }

  /** All that came before has been delivered. */
  #confirm({ from, seq }: Packet): void {
    const packet = new Packet();
    packet.type = "synced";
    packet.from = this.#options.instanceId;
    packet.seq = seq;
    this.send(from, packet, false);
  }

  #received(frames: readonly Buffer[], index: number, deliver: (packet: Packet) => void): void {
    const frame = frames[index];
    if (frame === undefined) return;
    decodeFrame(
      frame,
      0,
      (packet) => {
        if (packet.batch) this.#peers.add(packet.from);
        if (packet.type === "sync") {
          this.#confirm(packet);
          return;
        }
        if (packet.type === "synced") {
          this.#options.onSynced?.(packet.from, packet.seq ?? 0);
          return;
        }
        if (packet.type === "leaving") {
          this.#hasLeft(packet.from);
          return;
        }
        if (packet.type !== "takeover") {
          deliver(packet);
          return;
        }
        this.#announcing.delete(packet.from);
        this.#reach(packet.from);
        this.#options.gathering?.complete(packet.from);
        if (packet.ext?.get(PARTS_KEY) === true) this.#partPeers.add(packet.from);
        const ids = packet.ext?.get("ids");
        this.#options.onHandedOver?.(
          packet.from,
          Array.isArray(ids) ? ids.filter((one) => typeof one === "string") : [],
        );
      },
      (error) => {
        this.malformed += 1;
        this.#options.log.warn("malformed packet dropped", { error, dropped: this.malformed });
      },
      frames,
      index + 1,
    );
  }
}
