import { detach, type Tnet } from "@pushpin/tnetstrings";
import type { Logger } from "@pushpin/log";
import { ZmqSocket } from "@pushpin/zmq";
import { Packet } from "../core/packet.ts";
import { SeenItems } from "../core/seen-items.ts";
import { decodeFrame } from "../core/packet-decoder.ts";
import { encodePacket } from "../core/packet-encoder.ts";
import { FlushTurn, FrameBatch } from "./frame-batch.ts";
import { BATCH_TOPIC, BatchPeers, frameIndex, PARTS_KEY } from "./peers.ts";

export interface SocketAddress {
  readonly specs: readonly string[];
  readonly mode: "bind" | "connect";
}

export interface InitiatorSocketsOptions {
  readonly instanceId: string;
  /** First packets, to any responder. */
  readonly push: SocketAddress;
  /** Follow-ups, addressed. */
  readonly stream: SocketAddress;
  /** Answers. */
  readonly sub: SocketAddress;
  /** Responders may answer over the stream ROUTER too: it carries our id. Default true. */
  readonly identityOnStream?: boolean;
  /** Responders are of one kind: first packets go in `B` frames as long as one of them takes these. */
  readonly batchFirst?: boolean;
  /** Off: a `T` frame for each packet, whatever the other end takes. On by default. */
  readonly batchFrames?: boolean;
  readonly pushHwm?: number;
  readonly ipcFileMode?: number;
  /** Packets are delivered after `start()` only, where others of the owner have yet to be opened. */
  readonly waitsForStart?: boolean;
  readonly log: Logger;
  readonly onPacket: (packet: Packet) => void;
  /** A responder has started: it takes the place of the one that had its role and slot before. */
  readonly onTakeover?: (successor: string) => void;
  /** A follow-up for a peer that is gone. */
  readonly onUnroutable?: (peer: string) => void;
}

const EMPTY = Buffer.alloc(0);
/**
 * Limit: follow-ups that wait for the way to one responder that has just started; then the newest is dropped, and its
 * session fails. Unit: packets.
 */
export const HELD_FOLLOW_UPS_MAX = 10_000;
/** Limit: time they wait for its announcement; then they are sent, whether anybody gets them or not. Unit: ms. */
export const HELD_FOLLOW_UPS_MAX_MS = 10_000;
/** Limit: first packets held back for a successor that is about to come; more go to whoever is there. */
export const HELD_FIRST_MAX = 10_000;
/** Limit: time they are held back for it; then they go to whoever is there. Unit: ms. */
export const HELD_MAX_MS = 20_000;

/** The three sockets of a ZHTTP initiator: PUSH, ROUTER, SUB (wire.md 2.2, 2.3, 2.6, 2.8). */
export class InitiatorSockets {
  malformed = 0;
  #droppedFollowUps = 0;
  /** Processes that are there to answer, where we connect to them. */
  responders = 0;
  /** What first packets sent now belong to: changes whenever a responder goes. */
  epoch = 0;
  /** First packets of earlier epochs, if nobody has answered them, may be lost. */
  lostEpoch = 0;
  readonly #options: InitiatorSocketsOptions;
  readonly #turn = new FlushTurn();
  readonly #peers = new BatchPeers();
  /** Responders that take large bodies as parts of their own. */
  readonly #partPeers = new BatchPeers();
  readonly #batches = new Map<string, FrameBatch>();
  readonly #firstBatch: FrameBatch | undefined;
  /** A responder of ours has said so since the last one went. */
  #takesBatches = false;
  /** Responders that can be reached over the stream: something has come from them that way. */
  readonly #reachable = new BatchPeers();
  /** Follow-ups to those that cannot yet. */
  readonly #followUps = new Map<string, Packet[]>();
  readonly #followUpTimers = new Set<NodeJS.Timeout>();
  #held: Packet[] | undefined;
  #heldTimer: NodeJS.Timeout | undefined;
  #push!: ZmqSocket;
  #stream!: ZmqSocket;
  #sub!: ZmqSocket;

  private constructor(options: InitiatorSocketsOptions) {
    this.#options = options;
    if (options.batchFirst)
      this.#firstBatch = new FrameBatch({ ...this.#batchOptions, send: (frame) => this.#push.send(frame) });
  }

  static async open(options: InitiatorSocketsOptions): Promise<InitiatorSockets> {
    const sockets = new InitiatorSockets(options);
    const { instanceId, log } = options;
    const shared = {
      log,
      ...(options.ipcFileMode === undefined ? {} : { ipcFileMode: options.ipcFileMode }),
    };
    // The SUB first: an answer must find it subscribed.
    sockets.#sub = await ZmqSocket.open({
      ...shared,
      type: "sub",
      ...options.sub,
      onPeers: (count) => {
        sockets.responders = count;
      },
      subscribe: [`${instanceId} `, `${BATCH_TOPIC}${instanceId}`],
      isPaused: true,
      onMessage: (frames) => sockets.#received(frames, 0, instanceId.length + 1, sockets.#onPacket),
    });
    sockets.#stream = await ZmqSocket.open({
      ...shared,
      type: "router",
      ...options.stream,
      immediate: options.stream.mode === "connect",
      lingerMs: 500,
      ...(options.identityOnStream === false ? {} : { identity: instanceId }),
      isPaused: true,
      onMessage: (frames) =>
        sockets.#received(frames, frameIndex(frames), 0, sockets.#onStreamPacket),
      onUnroutable: (frames) =>
        options.onUnroutable?.(Buffer.from(frames[0] ?? EMPTY).toString("latin1")),
    });
    sockets.#push = await ZmqSocket.open({
      ...shared,
      type: "push",
      ...options.push,
      sendHwm: options.pushHwm ?? 128,
      onDisconnect: () => {
        sockets.#takesBatches = false;
        // What is held back has not been sent to anybody.
        if (sockets.#held === undefined) sockets.epoch += 1;
        sockets.lostEpoch = sockets.epoch;
      },
    });
    // Whoever waits for us has us then: answers to packets may go out at once.
    if (!options.waitsForStart) setImmediate(() => sockets.start());
    return sockets;
  }

  /** From now on packets are delivered; those that came before have waited. */
  start(): void {
    this.#sub.resume();
    this.#stream.resume();
  }

  /** Packets given up because nobody took them. */
  get dropped(): number {
    return this.#push.dropped + this.#stream.dropped + this.#droppedFollowUps;
  }

  /** Whether somebody would take a first packet now. */
  get isReachable(): boolean {
    return this.#push.isWritable;
  }

  /** The first packet of a session: whoever is free takes it. */
  sendFirst(packet: Packet): void {
    if (this.#held !== undefined && this.#held.length < HELD_FIRST_MAX) {
      this.#held.push(packet); // Limit: HELD_FIRST_MAX
      return;
    }
    const batch = this.#firstBatch;
    if (batch === undefined || !this.#takesBatches) {
      this.#push.send(encodePacket(packet));
      return;
    }
    this.#turn.add(batch, packet);
  }

  /** A follow-up to the owner of the session. */
  send(to: string, packet: Packet): void {
    const batch = this.#batches.get(to);
    if (batch !== undefined) {
      this.#turn.add(batch, packet);
      return;
    }
    if (!this.#peers.has(to)) {
      this.#stream.send([Buffer.from(to, "latin1"), EMPTY, encodePacket(packet)]);
      return;
    }
    if (this.#options.stream.mode === "connect" && !this.#reachable.has(to)) {
      this.#hold(to, packet);
      return;
    }
    this.#turn.add(this.#openBatch(to), packet);
  }

  async close(): Promise<void> {
    this.#letGo();
    for (const timer of this.#followUpTimers) clearTimeout(timer);
    for (const to of [...this.#followUps.keys()]) this.#reach(to);
    this.#turn.flush();
    await Promise.all([this.#push.close(), this.#stream.close(), this.#sub.close()]);
  }

  /**
   * A responder of ours that has just started answers before our ROUTER is connected to it, and a ROUTER drops
   * what it cannot route: what we say waits for the announcement, which comes by that way.
   */
  #hold(to: string, packet: Packet): void {
    const held = this.#followUps.get(to);
    if (held !== undefined) {
      // Limit: HELD_FOLLOW_UPS_MAX
      if (held.length < HELD_FOLLOW_UPS_MAX) held.push(packet);
      else this.#drop(to);
      return;
    }
    const name = detach(to);
    this.#followUps.set(name, [packet]);
    const timer = setTimeout(() => {
      this.#followUpTimers.delete(timer);
      this.#reach(name);
    }, HELD_FOLLOW_UPS_MAX_MS); // Limit: HELD_FOLLOW_UPS_MAX_MS
    this.#followUpTimers.add(timer);
  }

  #drop(to: string): void {
    this.#droppedFollowUps += 1;
    const dropped = this.#droppedFollowUps;
    if (dropped % 1000 === 1)
      this.#options.log.warn("no way to a process yet, packets dropped", { to, dropped });
  }

  #reach(peer: string): void {
    this.#reachable.add(peer);
    const held = this.#followUps.get(peer);
    if (held === undefined) return;
    this.#followUps.delete(peer);
    for (const packet of held) this.send(peer, packet);
  }

  #openBatch(to: string): FrameBatch {
    const address = Buffer.from(to, "latin1");
    const batch = new FrameBatch({
      ...this.#batchOptions,
      takesParts: () => this.#partPeers.has(to),
      send: (frame, parts) => this.#stream.send([address, EMPTY, frame, ...parts]),
    });
    if (this.#batches.size >= 1024) this.#batches.clear();
    this.#batches.set(to, batch);
    return batch;
  }

  get #batchOptions() {
    return { address: "", isSingle: this.#options.batchFrames === false };
  }

  #received(
    frames: readonly Buffer[],
    index: number,
    start: number,
    take: (packet: Packet) => void,
  ): void {
    const frame = frames[index];
    if (frame === undefined) return;
    decodeFrame(frame, start, take, this.#onMalformed, frames, index + 1);
  }

  readonly #seen = new SeenItems();

  readonly #onStreamPacket = (packet: Packet): void => {
    if (this.#options.stream.mode === "connect" && !this.#reachable.has(packet.from))
      this.#reach(packet.from);
    this.#onPacket(packet);
  };

  readonly #onPacket = (packet: Packet): void => {
    if (packet.batch || packet.type === "takeover") {
      this.#peers.add(packet.from);
      this.#takesBatches = true;
    }
    if (packet.type === "takeover") this.#takeover(packet);
    else if (packet.type === "leaving") this.#holdBack(packet.from);
    else if (packet.type === "sync") this.#confirm(packet);
    else this.#options.onPacket(packet);
  };

  /** All that came before has been delivered: the items of these ids, if it names some. */
  #confirm({ from, seq, ext }: Packet): void {
    const ids = ext?.get("ids");
    if (Array.isArray(ids)) {
      const texts = ids.filter((one) => typeof one === "string");
      this.#seen.add(detach(from), texts.map(detach), performance.now());
    }
    const packet = new Packet();
    packet.type = "synced";
    packet.from = this.#options.instanceId;
    packet.seq = seq;
    this.send(from, packet);
    // Publishers wait for it: it does not stand behind the writes to a thousand clients.
    this.#batches.get(from)?.flush();
  }

  /**
   * A responder leaves, its successor is about to come: first packets wait for it, up to a while. It is told so behind
   * those that were sent before.
   */
  #holdBack(responder: string): void {
    if (this.#held === undefined) {
      this.#held = [];
      this.epoch += 1;
    }
    clearTimeout(this.#heldTimer);
    this.#heldTimer = setTimeout(() => this.#letGo(), HELD_MAX_MS); // Limit: HELD_MAX_MS
    const packet = new Packet();
    packet.type = "leaving";
    packet.from = this.#options.instanceId;
    this.#turn.flush();
    this.send(responder, packet);
    this.#turn.flush();
  }

  #letGo(): void {
    clearTimeout(this.#heldTimer);
    const held = this.#held;
    this.#held = undefined;
    for (const packet of held ?? []) this.sendFirst(packet);
  }

  /** The successor is answered when it has everything, so that it knows when to open its doors. */
  #takeover({ from: successor, ext }: Packet): void {
    if (ext?.get(PARTS_KEY) === true) this.#partPeers.add(successor);
    this.#options.onTakeover?.(successor);
    const packet = new Packet();
    packet.type = "takeover";
    packet.from = this.#options.instanceId;
    packet.ext = new Map<string, Tnet>([[PARTS_KEY, true]]);
    const ids = this.#seen.of(successor, performance.now());
    if (ids.length > 0) packet.ext.set("ids", ids);
    this.send(successor, packet);
    this.#letGo();
  }

  readonly #onMalformed = (error: string): void => {
    this.malformed += 1;
    this.#options.log.warn("malformed packet dropped", { error, dropped: this.malformed });
  };
}
