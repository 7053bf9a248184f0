import type { Socket } from "node:net";
import { type Clock, TimerWheel } from "@pushpin/clock";
import type { Logger } from "@pushpin/log";
import { KeepAliveSchedule, type Kind, type Packet, Session } from "@pushpin/zhttp";
import type { InitiatorSockets } from "@pushpin/zhttp/sockets";
import { ClientConnection } from "./client-connection.ts";

export interface ConnmgrSettings {
  readonly instanceId: string;
  /** Request heads, and the credit window towards a client. */
  readonly bufferSize: number;
  /** Body bytes a server may send ahead of what the client has taken. */
  readonly windowBytes: number;
  readonly headersMax: number;
  readonly connectionsMax: number;
  readonly perAddressMax: number;
  readonly headerTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly writeTimeoutMs: number;
  /** After the last byte, for the client to close its half. */
  readonly lingerMs: number;
  /** The proxy is ours: a small request body may ride in the first packet. */
  readonly ownProxy: boolean;
}

/** What the receivers of one id-list packet share: bytes framed once. */
export class Shared {
  #chunk: string | Buffer | undefined;
  #frames: (Buffer | undefined)[] = [];

  chunk(
    body: string | Uint8Array,
    make: (body: string | Uint8Array) => string | Buffer,
  ): string | Buffer {
    this.#chunk ??= make(body);
    return this.#chunk;
  }

  frame(opcode: number, make: () => Buffer): Buffer {
    const frame = this.#frames[opcode] ?? make();
    this.#frames[opcode] = frame;
    return frame;
  }
}

const TICK_MS = 250;

/** All connections of this process and their sessions: lookup, writes once a turn, deadlines, keep-alives. */
export class Engine {
  readonly settings: ConnmgrSettings;
  readonly log: Logger;
  isDraining = false;
  readonly #clock: Clock;
  readonly #sockets: () => InitiatorSockets;
  readonly #slots: (ClientConnection | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #perAddress = new Map<string, number>();
  readonly #keepAlive = new KeepAliveSchedule<ClientConnection>();
  readonly #wheel: TimerWheel<ClientConnection>;
  readonly #timer: NodeJS.Timeout;
  #dirty: ClientConnection[] = [];
  #flushScheduled = false;
  #generation = 0;
  #connections = 0;
  #ticks = 0;
  #refused = 0;

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
    this.#wheel = new TimerWheel(TICK_MS, 512, clock.nowMs());
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  get connections(): number {
    return this.#connections;
  }

  get isFull(): boolean {
    return this.#connections >= this.settings.connectionsMax;
  }

  /** A client connected. */
  accept(socket: Socket): void {
    const address = socket.remoteAddress ?? "";
    const count = (this.#perAddress.get(address) ?? 0) + 1;
    // Limit: connections of one address.
    if (this.settings.perAddressMax > 0 && count > this.settings.perAddressMax) {
      this.countRefused(0);
      socket.destroy();
      return;
    }
    if (this.settings.perAddressMax > 0) this.#perAddress.set(address, count);
    const slot = this.#free.pop() ?? this.#slots.length;
    const connection = new ClientConnection(this, slot, socket);
    this.#slots[slot] = connection;
    this.#connections += 1;
    const owned = socket as Socket & { connection?: ClientConnection; clientAddress?: string };
    owned.connection = connection;
    owned.clientAddress = address;
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.on("drain", onDrain);
    socket.on("error", onError);
    socket.on("close", onClose);
    this.setDeadline(connection, this.settings.idleTimeoutMs);
  }

  remove(connection: ClientConnection): void {
    if (this.#slots[connection.slot] !== connection) return;
    this.#slots[connection.slot] = undefined;
    this.#free.push(connection.slot);
    this.#connections -= 1;
    this.#wheel.cancel(connection);
    const address = (connection.socket as Socket & { clientAddress?: string }).clientAddress ?? "";
    const count = this.#perAddress.get(address);
    if (count !== undefined) {
      if (count > 1) this.#perAddress.set(address, count - 1);
      else this.#perAddress.delete(address);
    }
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
      offerRouter: true,
    });
    // The schedule reads `connection.session`, which the connection sets right after this.
    this.#keepAlive.add(connection);
    return session;
  }

  closeSession(connection: ClientConnection): void {
    this.#keepAlive.remove(connection);
  }

  /** Sends whatever the connection's session may send now. */
  pump(connection: ClientConnection): void {
    if (!connection.hasSession) return;
    const { session } = connection;
    for (;;) {
      const isFirst = session.outSeq === 0;
      const packet = session.takePacket();
      if (packet === undefined) return;
      if (this.log.isDebug)
        this.log.debug("packet out", {
          to: session.peer,
          id: packet.id,
          type: packet.type,
          seq: packet.seq,
        });
      if (isFirst) this.#sockets().sendFirst(packet);
      else this.#sockets().send(session.peer, packet);
    }
  }

  /** A packet from a proxy or handler. */
  packet(packet: Packet): void {
    const nowMs = this.#clock.nowMs();
    if (this.log.isDebug)
      this.log.debug("packet in", {
        from: packet.from,
        id: packet.id,
        type: packet.type,
        seq: packet.seq,
      });
    if (packet.ids === undefined) {
      this.#find(packet.id)?.packet(packet, packet.seq, nowMs, undefined);
      return;
    }
    const shared = new Shared();
    for (const entry of packet.ids) this.#find(entry.id)?.packet(packet, entry.seq, nowMs, shared);
  }

  #find(id: string): ClientConnection | undefined {
    const first = id.indexOf("-");
    const second = id.indexOf("-", first + 1);
    const connection = this.#slots[Number(id.slice(first + 1, second))];
    return connection?.hasSession && connection.session.id === id ? connection : undefined;
  }

  markDirty(connection: ClientConnection): void {
    this.#dirty.push(connection);
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      const dirty = this.#dirty;
      this.#dirty = [];
      for (const one of dirty) one.flush();
    });
  }

  setDeadline(connection: ClientConnection, afterMs: number): void {
    this.#wheel.schedule(connection, this.#clock.nowMs() + afterMs);
  }

  clearDeadline(connection: ClientConnection): void {
    this.#wheel.cancel(connection);
  }

  countRefused(code: number): void {
    this.#refused += 1;
    this.log.debug("client refused", { code, refused: this.#refused });
  }

  /** Stops serving new requests; resolves when all connections are gone or `graceMs` is over. */
  async drain(graceMs: number): Promise<void> {
    this.isDraining = true;
    for (const connection of [...this.#slots]) connection?.drain();
    const untilMs = this.#clock.nowMs() + graceMs;
    while (this.#connections > 0 && this.#clock.nowMs() < untilMs)
      await new Promise((resolve) => setTimeout(resolve, 20));
    for (const connection of [...this.#slots]) connection?.destroy();
    clearInterval(this.#timer);
  }

  #tick(): void {
    const nowMs = this.#clock.nowMs();
    this.#wheel.advance(nowMs, (connection) => connection.timedOut());
    this.#ticks += 1;
    if (this.#ticks % (1000 / TICK_MS) !== 0) return;
    const { packets, expired } = this.#keepAlive.tick(nowMs);
    for (const { to, packet } of packets) this.#sockets().send(to, packet);
    for (const connection of expired) {
      this.log.debug("session expired, client closed", { slot: connection.slot });
      connection.destroy();
    }
  }
}

type Owned = Socket & { connection?: ClientConnection };

function onData(this: Owned, data: Buffer): void {
  this.connection?.received(data);
}
function onEnd(this: Owned): void {
  this.connection?.ended();
}
function onDrain(this: Owned): void {
  this.connection?.drained();
}
function onError(this: Owned): void {
  this.connection?.gone();
}
function onClose(this: Owned): void {
  this.connection?.gone();
}
