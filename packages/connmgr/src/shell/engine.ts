import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { type Clock, TimerWheel } from "@pushpin/clock";
import type { Logger } from "@pushpin/log";
import { detach } from "@pushpin/tnetstrings";
import { KeepAliveSchedule, type Kind, Packet, Predecessors, Session } from "@pushpin/zhttp";
import { type InitiatorSockets, TurnLoad } from "@pushpin/zhttp/sockets";
import type { ConnmgrSettings } from "../core/connmgr-settings.ts";
import { Departed } from "../core/departed.ts";
import type { KeptTotal } from "../core/kept-body.ts";
import { Orphans } from "../core/orphans.ts";
import { OutputJoin } from "../core/output.ts";
import { WriteQueue } from "../core/write-queue.ts";
import { ClientConnection, type Origin } from "./client-connection.ts";
import { SharedFrames } from "./shared-frames.ts";

export const TICK_MS = 250;
/** Limit: instance ids of peers kept as texts of their own. */
const PEERS_MAX = 1024;

/** Held clients told to go at once, and then in every millisecond: fewer are not worth spreading. */
const DRAIN_STEP = 10;
const DRAIN_PER_MS = 1;

/** Clients turned away are told of in the log this often. */
const REPORT_MS = 60_000;

type Owned = Socket & { connection?: ClientConnection };

/** All connections of this process and their sessions: lookup, writes once a turn, deadlines, keep-alives. */
export class Engine {
  /** Replaced by a reload. */
  settings: ConnmgrSettings;
  readonly log: Logger;
  isDraining = false;
  /** Time of the packet or tick that is worked on. */
  nowMs: number;
  readonly #clock: Clock;
  readonly #sockets: () => InitiatorSockets;
  readonly #slots: (ClientConnection | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #keepAlive = new KeepAliveSchedule<ClientConnection>();
  readonly #wheel: TimerWheel<ClientConnection>;
  readonly #timer: NodeJS.Timeout;
  readonly keptBodies: KeptTotal = { keptBytes: 0 };
  readonly #orphans = new Orphans();
  readonly #departed = new Departed();
  readonly join = new OutputJoin();
  readonly #peers = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  readonly #reported = new Map<string, number>();
  #reportedMs: number;
  readonly #predecessors = new Predecessors();
  /** What each peer has passed on last, by its own count; for its successor. */
  readonly #marks = new Map<string, number>();
  readonly #ungranted = new Set<ClientConnection>();
  readonly #writes = new WriteQueue<ClientConnection>((one) => this.#guarded(one, flush));
  #waiting: ClientConnection[] = [];
  #turnScheduled = false;
  /** Of connections that are written to. */
  readonly #load = new TurnLoad();
  #generation = 0;
  /** Of the takeover under way: sessions with an anchor, and requests that begin anew or end. */
  #handed = 0;
  #lost = 0;
  #connections = 0;
  #ticks = 0;

  constructor(
    settings: ConnmgrSettings,
    clock: Clock,
    log: Logger,
    sockets: () => InitiatorSockets,
  ) {
    this.settings = settings;
    this.#clock = clock;
    this.log = log;
    this.#sockets = sockets;
    this.nowMs = clock.nowMs();
    this.#reportedMs = this.nowMs;
    this.#wheel = new TimerWheel(TICK_MS, 512, this.nowMs);
    this.#timer = setInterval(() => this.tick(), TICK_MS);
  }

  get connections(): number {
    return this.#connections;
  }

  /** How often something happened that should not: by name, and by code where it has one. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /** A client connected; `origin` is whom a balancer in front of us spoke for. */
  accept(socket: Socket, origin: Origin): void {
    if (this.isDraining) {
      socket.destroy();
      return;
    }
    const slot = this.#free.pop() ?? this.#slots.length;
    const connection = new ClientConnection(
      this,
      slot,
      socket,
      socket instanceof TLSSocket,
      origin,
    );
    this.#slots[slot] = connection;
    this.#connections += 1;
    (socket as Owned).connection = connection;
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.on("drain", onDrain);
    socket.on("error", onGone);
    socket.on("close", onGone);
    connection.rearm();
  }

  remove(connection: ClientConnection): void {
    if (this.#slots[connection.slot] !== connection) return;
    this.#slots[connection.slot] = undefined;
    this.#free.push(connection.slot);
    this.#connections -= 1;
    this.#wheel.cancel(connection);
  }

  openSession(connection: ClientConnection, kind: Kind): Session {
    this.#generation += 1;
    const session = new Session({
      role: "initiator",
      kind,
      from: this.settings.instanceId,
      id: `0-${connection.slot}-${this.#generation.toString(16)}`,
      nowMs: this.#clock.nowMs(),
      credits: this.settings.windowBytes,
      epoch: this.#sockets().epoch,
      offerRouter: true,
    });
    // The schedule reads `connection.session`, which the connection sets right after this.
    this.#keepAlive.add(connection);
    return session;
  }

  /**
   * A proxy or handler has started. Sessions of the one it takes the place of are handed to it;
   * requests that nobody else can go on with begin anew, or end.
   */
  takeover(successor: string): void {
    const from = this.#ownText(successor);
    if (!this.#predecessors.announce(from)) return;
    this.nowMs = this.#clock.nowMs();
    this.#handed = 0;
    this.#lost = 0;
    for (const connection of this.#slots)
      if (connection !== undefined) this.#guarded(connection, (one) => one.ownerReplaced(from));
    for (const session of this.#departed.take((peer) => this.#predecessors.isReplacedBy(peer, from)))
      this.#handDeparted(session, from);
    if (this.#handed + this.#lost > 0)
      this.log.info("sessions handed to a successor", {
        successor: from,
        handed: this.#handed,
        others: this.#lost,
      });
    for (const id of this.#marks.keys())
      if (this.#predecessors.isReplaced(id)) this.#marks.delete(id);
  }

  /** Whether the owner of its session is gone, now that `successor` has started. */
  isConcerned({ session }: ClientConnection, successor: string): boolean {
    return this.#predecessors.isLost(session, successor, this.#sockets().lostEpoch);
  }

  /** What the start of `successor` means for one session. */
  succession(connection: ClientConnection, successor: string): "unconcerned" | "handed" | "lost" {
    const { session } = connection;
    const { lostEpoch } = this.#sockets();
    if (!this.#predecessors.isLost(session, successor, lostEpoch)) return "unconcerned";
    if (!session.handTo(successor, this.#marks.get(session.peer))) {
      this.#lost += 1;
      return "lost";
    }
    this.#handed += 1;
    this.pump(connection);
    return "handed";
  }

  /** Gives up a session nobody can go on with; whoever still has it is told when it speaks. */
  abandonSession(connection: ClientConnection): void {
    this.addOrphan(connection.session);
    this.closeSession(connection);
  }

  closeSession(connection: ClientConnection): void {
    this.#keepAlive.remove(connection);
  }

  /** The client is gone, and nobody can be told yet. */
  addOrphan(session: Session): void {
    this.#orphans.add(session);
  }

  /** The client has left, and the owner has been told; its successor will be, if it did not hear it. */
  addDeparted(session: Session): void {
    this.#askOwner(session.peer, this.#departed.add(session, this.#clock.nowMs()));
  }

  #handDeparted(session: Session, successor: string): void {
    if (!session.handTo(successor, this.#marks.get(session.peer), true)) return;
    this.#handed += 1;
    this.#sendAll(session);
    this.addDeparted(session);
  }

  #askOwner(owner: string, number: number | undefined): void {
    if (number === undefined) return;
    const packet = new Packet();
    packet.type = "sync";
    packet.from = this.settings.instanceId;
    packet.seq = number;
    this.#sockets().send(owner, packet);
  }

  /** Sends whatever the connection's session may send now. */
  pump(connection: ClientConnection): void {
    if (connection.hasSession) this.#sendAll(connection.session);
  }

  #sendAll(session: Session): void {
    for (;;) {
      const isFirst = session.outSeq === 0;
      const packet = session.takePacket();
      if (packet === undefined) return;
      if (this.log.isDebug) this.#trace("packet out", session.peer, packet);
      if (isFirst) this.#sockets().sendFirst(packet);
      else this.#sockets().send(session.peer, packet);
    }
  }

  /** A packet from a proxy or handler. */
  packet(packet: Packet): void {
    const nowMs = this.#clock.nowMs();
    this.nowMs = nowMs;
    packet.from = this.#ownText(packet.from);
    if (this.log.isDebug) this.#trace("packet in", packet.from, packet);
    if (this.#predecessors.isReplaced(packet.from)) {
      this.#refuseReplaced(packet);
      return;
    }
    if (packet.type === "mark") {
      this.#marks.set(packet.from, packet.seq ?? 0);
      return;
    }
    if (packet.type === "synced") {
      this.#askOwner(packet.from, this.#departed.confirmed(packet.from, packet.seq ?? 0));
      return;
    }
    if (packet.ids === undefined) {
      this.#deliver(packet.id, packet, packet.seq, nowMs, undefined);
      // While turns bring one packet each, its client need not wait for the end of the turn.
      if (this.#load.isAlone) this.#flushOwn();
      return;
    }
    const shared = new SharedFrames();
    for (const entry of packet.ids) this.#deliver(entry.id, packet, entry.seq, nowMs, shared);
  }

  #deliver(
    id: string,
    packet: Packet,
    seq: number | undefined,
    nowMs: number,
    shared: SharedFrames | undefined,
  ): void {
    const connection = this.#slots[slotOf(id)];
    if (connection?.hasSession && connection.session.id === id) {
      try {
        connection.packet(packet, seq, nowMs, shared);
      } catch (error) {
        this.fault(connection, error);
      }
      return;
    }
    const cancel = this.#orphans.answer(id, packet, seq, nowMs);
    if (cancel !== undefined) this.#sockets().send(packet.from, cancel);
  }

  /** A process that was stopped for so long that it was replaced: it has lost its sessions. */
  #refuseReplaced(packet: Packet): void {
    this.count("packet of a replaced process");
    for (const { id } of packet.ids ?? [{ id: packet.id }]) {
      const cancel = new Packet();
      cancel.type = "cancel";
      cancel.from = this.settings.instanceId;
      cancel.id = id;
      this.#sockets().send(packet.from, cancel);
    }
  }

  /** A session remembers its peer: as a text of its own, not as a piece of a whole frame. */
  #ownText(from: string): string {
    const known = this.#peers.get(from);
    if (known !== undefined) return known;
    if (this.#peers.size >= PEERS_MAX) this.#peers.clear(); // Limit: PEERS_MAX
    const own = detach(from);
    this.#peers.set(own, own);
    return own;
  }

  #trace(text: string, peer: string, packet: Packet): void {
    this.log.debug(text, { peer, id: packet.id, type: packet.type, seq: packet.seq });
  }

  markDirty(connection: ClientConnection): void {
    this.#writes.add(connection);
    this.#load.add();
    this.#scheduleTurn();
  }

  /** As `markDirty`, with nothing but what many clients get. */
  markFanOut(connection: ClientConnection): void {
    this.#writes.addFanOut(connection);
    this.#load.add();
    this.#scheduleTurn();
  }

  /** Requests sent ahead are read in the next turn, so that one client cannot keep this one. */
  resumeSoon(connection: ClientConnection): void {
    this.#waiting.push(connection);
    this.#scheduleTurn();
  }

  #scheduleTurn(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#turnScheduled = false;
    this.#load.endTurn();
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#flushOwn();
    if (!this.#writes.flushFanOut()) this.#scheduleTurn();
    this.join.forget();
    for (const connection of waiting) this.#guarded(connection, resume);
  };

  #flushOwn(): void {
    this.#writes.flushOwn();
    this.join.forget();
  }

  #guarded(connection: ClientConnection, work: (connection: ClientConnection) => void): void {
    try {
      work(connection);
    } catch (error) {
      this.fault(connection, error);
    }
  }

  /** An error of ours in the work for one client: that client is lost, and no other. */
  fault(connection: ClientConnection, error: unknown): void {
    this.count("error of ours");
    this.log.error("a client is lost by an error", { error });
    try {
      connection.destroy();
    } catch {
      connection.socket.destroy();
      this.closeSession(connection);
      this.remove(connection);
    }
  }

  /** Has its credits sent within a second, however few they are. */
  grantLater(connection: ClientConnection): void {
    this.#ungranted.add(connection);
  }

  setDeadline(connection: ClientConnection, afterMs: number): void {
    this.#wheel.schedule(connection, this.#clock.nowMs() + afterMs);
  }

  clearDeadline(connection: ClientConnection): void {
    this.#wheel.cancel(connection);
  }

  count(what: string, code?: number): void {
    const name = code === undefined ? what : `${what} ${code}`;
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    this.log.debug("client turned away", { why: name, count });
  }

  /**
   * Ends all connections: idle ones at once, requests after their answers, held ones spread over the
   * first half of `graceMs`, so that not all come back in one moment. What is left then is cut.
   */
  async drain(graceMs: number): Promise<void> {
    this.isDraining = true;
    const held: ClientConnection[] = [];
    for (const connection of [...this.#slots]) {
      if (connection?.isHeld) held.push(connection);
      else if (connection !== undefined) this.#guarded(connection, drain);
    }
    const startMs = this.#clock.nowMs();
    let done = 0;
    for (;;) {
      const passedMs = this.#clock.nowMs() - startMs;
      const share = graceMs > 0 ? Math.min(1, (passedMs * 2) / graceMs) : 1;
      const spread = Math.max(held.length * share, DRAIN_STEP + passedMs * DRAIN_PER_MS);
      const due = Math.min(held.length, Math.floor(spread));
      for (; done < due; done += 1) this.#guarded(held[done] as ClientConnection, drain);
      if (this.#connections === 0 || passedMs >= graceMs) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    for (const connection of [...this.#slots])
      if (connection !== undefined) this.#guarded(connection, destroy);
    clearInterval(this.#timer);
  }

  /** Deadlines, keep-alives and lost peers; called every `TICK_MS`. */
  tick(): void {
    const nowMs = this.#clock.nowMs();
    this.nowMs = nowMs;
    this.#wheel.advance(nowMs, (connection) => this.#guarded(connection, timedOut));
    this.#ticks += 1;
    if (this.#ticks % (1000 / TICK_MS) !== 0) return;
    for (const connection of this.#ungranted) this.#guarded(connection, grantRest);
    this.#ungranted.clear();
    const { packets, expired } = this.#keepAlive.tick(nowMs);
    for (const { to, packet } of packets) this.#sockets().send(to, packet);
    for (const connection of expired) {
      this.log.debug("session expired, client closed", { slot: connection.slot });
      this.#guarded(connection, destroy);
    }
    this.#orphans.expire(nowMs);
    this.#departed.expire(nowMs);
    if (nowMs - this.#reportedMs >= REPORT_MS) this.#report(nowMs);
  }

  /** What happened since the last time, if anything did: one line, however many clients it were. */
  #report(nowMs: number): void {
    this.#reportedMs = nowMs;
    const fresh: Record<string, number> = {};
    for (const [name, count] of this.#counts) {
      const more = count - (this.#reported.get(name) ?? 0);
      if (more > 0) fresh[name] = more;
      this.#reported.set(name, count);
    }
    if (Object.keys(fresh).length > 0) this.log.info("clients turned away", fresh);
  }
}

const flush = (connection: ClientConnection) => connection.flush();
const resume = (connection: ClientConnection) => connection.resume();
const drain = (connection: ClientConnection) => connection.drain();
const destroy = (connection: ClientConnection) => connection.destroy();
const grantRest = (connection: ClientConnection) => connection.grantRest();
const timedOut = (connection: ClientConnection) => connection.timedOut();

/** The middle number of `0-<slot>-<generation>`; -1 for anything else. */
function slotOf(id: string): number {
  let slot = 0;
  for (let i = 2; i < id.length; i += 1) {
    const code = id.charCodeAt(i);
    if (code === 0x2d) return i > 2 ? slot : -1;
    if (code < 0x30 || code > 0x39 || i > 12) return -1;
    slot = slot * 10 + code - 0x30;
  }
  return -1;
}

// One `try` each in the place of a closure for every event.
function onData(this: Owned, data: Buffer): void {
  const { connection } = this;
  try {
    connection?.received(data);
  } catch (error) {
    connection?.engine.fault(connection, error);
  }
}
function onEnd(this: Owned): void {
  const { connection } = this;
  try {
    connection?.ended();
  } catch (error) {
    connection?.engine.fault(connection, error);
  }
}
function onDrain(this: Owned): void {
  const { connection } = this;
  try {
    connection?.drained();
  } catch (error) {
    connection?.engine.fault(connection, error);
  }
}
function onGone(this: Owned): void {
  const { connection } = this;
  try {
    connection?.gone();
  } catch (error) {
    connection?.engine.fault(connection, error);
  }
}
