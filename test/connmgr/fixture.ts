import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type Clock, ManualClock, systemClock } from "@pushpin/clock";
import { memoryLog } from "@pushpin/log";
import { decodeFrame, encodePacket, Packet } from "@pushpin/zhttp";
import type { InitiatorSockets } from "@pushpin/zhttp/sockets";
import type { ConnmgrSettings } from "../../packages/connmgr/src/core/connmgr-settings.ts";
import type { ListenAddress } from "@pushpin/config";
import { Admission } from "../../packages/connmgr/src/shell/admission.ts";
import { Certificates } from "../../packages/connmgr/src/shell/certificates.ts";
import { Engine, TICK_MS } from "../../packages/connmgr/src/shell/engine.ts";
import { Listener } from "../../packages/connmgr/src/shell/listener.ts";

export const CONNMGR = "connmgr-0-test";
export const HANDLER = "handler-test";
/** The key of RFC 6455's example. */
export const SAMPLE_KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const WAIT_MS = 15_000;

const SETTINGS: ConnmgrSettings = {
  instanceId: CONNMGR,
  bufferSize: 8192,
  windowBytes: 8192,
  headersMax: 100,
  pipelineMax: 16,
  writeBufferMaxBytes: 1_048_576,
  headerTimeoutMs: 30_000,
  bodyTimeoutMs: 60_000,
  idleTimeoutMs: 75_000,
  writeTimeoutMs: 60_000,
  lingerMs: 2000,
  closeTimeoutMs: 10_000,
  allowCompression: false,
  ownProxy: false,
};

/** One session as a handler sees it. */
export class HandlerSession {
  readonly first: Packet;
  readonly packets: Packet[] = [];
  from = HANDLER;
  seq = 0;
  readonly #send: (packet: Packet) => void;

  constructor(first: Packet, send: (packet: Packet) => void) {
    this.first = first;
    this.#send = send;
  }

  /** Body bytes of all packets so far. */
  get body(): string {
    return [this.first, ...this.packets]
      .map((one) =>
        typeof one.body === "string" ? one.body : Buffer.from(one.body).toString("latin1"),
      )
      .join("");
  }

  get bodyBytes(): number {
    return this.packets.reduce((sum, one) => sum + one.body.length, this.first.body.length);
  }

  get last(): Packet | undefined {
    return this.packets.at(-1);
  }

  send(fields: Partial<Packet>): void {
    const packet = Object.assign(new Packet(), { from: this.from, id: this.first.id }, fields);
    packet.seq = fields.seq ?? this.seq;
    this.seq = packet.seq + 1;
    this.#send(packet);
  }

  respond(code: number, body = "", headers: string[] = [], more = false): void {
    this.send({ code, reason: code === 200 ? "OK" : "R", headers, body, more });
  }

  async until(what: (session: HandlerSession) => boolean): Promise<void> {
    await eventually(() => what(this));
  }
}

export async function eventually(what: () => boolean): Promise<void> {
  const untilMs = performance.now() + WAIT_MS;
  while (!what()) {
    if (performance.now() > untilMs) throw new Error(`not within ${WAIT_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export interface StartOptions extends Partial<ConnmgrSettings> {
  /** Default: 1000. */
  readonly connectionsMax?: number;
  /** Default: off. */
  readonly perAddressMax?: number;
  readonly where?: ListenAddress;
  readonly isSecure?: boolean;
  readonly hasProxyHeader?: boolean;
  readonly certificateDirectory?: string;
  /** A `ManualClock` is moved by `pass`. */
  readonly clock?: Clock;
  /** What the handler does with a new session. Default: nothing. */
  readonly onSession?: (session: HandlerSession) => void;
}

/** A connection manager with one listener, and a handler made of arrays behind it. */
export class Connmgr {
  readonly engine: Engine;
  readonly admission: Admission;
  readonly log: ReturnType<typeof memoryLog> = memoryLog(2);
  readonly sessions: HandlerSession[] = [];
  /** Questions whether owners have heard of everything so far. */
  readonly syncs: Packet[] = [];
  listener!: Listener;
  readonly #clock: Clock;
  #stopped = false;

  constructor(options: StartOptions) {
    this.#clock = options.clock ?? systemClock;
    const settings = { ...SETTINGS, ...options };
    // Everything goes through the codec, as it would over a socket.
    const received = (sent: Packet) => decodeFrame(encodePacket(sent), 0, deliver, fail);
    const deliver = (packet: Packet) => {
      if (packet.type === "sync") {
        this.syncs.push(packet);
        return;
      }
      const ids = packet.ids ?? [{ id: packet.id, seq: packet.seq }];
      for (const { id, seq } of ids) {
        const session = this.sessions.find((one) => one.first.id === id);
        if (session !== undefined) {
          session.packets.push(Object.assign(new Packet(), packet, { id, seq }));
          continue;
        }
        const fresh = new HandlerSession(packet, (answer) => this.deliver(answer));
        this.sessions.push(fresh);
        if (options.onSession !== undefined) setImmediate(options.onSession, fresh);
      }
    };
    const sockets = {
      sendFirst: received,
      send: (_: string, packet: Packet) => received(packet),
    } as unknown as InitiatorSockets;
    this.engine = new Engine(settings, this.#clock, this.log, () => sockets);
    this.admission = new Admission({
      connectionsMax: options.connectionsMax ?? 1000,
      perAddressMax: options.perAddressMax ?? -1,
      onRefused: (why) => this.engine.count(why),
    });
  }

  /** A packet of the handler. */
  deliver(packet: Packet): void {
    decodeFrame(encodePacket(packet), 0, (one) => this.engine.packet(one), fail);
  }

  /** Time goes by, as fast as it can. */
  pass(ms: number): void {
    if (!(this.#clock instanceof ManualClock)) throw new Error("the clock is not ours");
    for (let left = ms; left > 0; left -= TICK_MS) {
      this.#clock.advance(Math.min(left, TICK_MS));
      this.engine.tick();
    }
  }

  async session(index = 0): Promise<HandlerSession> {
    await eventually(() => this.sessions.length > index);
    return this.sessions[index] as HandlerSession;
  }

  client(port = this.listener.port, host = "127.0.0.1"): Promise<RawClient> {
    return RawClient.over(connect({ port, host, allowHalfOpen: true }));
  }

  async stop(graceMs = this.#clock instanceof ManualClock ? 0 : 1): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.listener.close();
    this.admission.close();
    await this.engine.drain(graceMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function fail(error: string): void {
  throw new Error(error);
}

export async function startConnmgr(options: StartOptions = {}): Promise<Connmgr> {
  const connmgr = new Connmgr(options);
  connmgr.listener = await Listener.open({
    where: options.where ?? { kind: "tcp", host: "127.0.0.1", port: 0 },
    isSecure: options.isSecure ?? false,
    hasProxyHeader: options.hasProxyHeader ?? false,
    engine: connmgr.engine,
    admission: connmgr.admission,
    certificates: new Certificates(options.certificateDirectory ?? "/nonexistent", connmgr.log),
    log: connmgr.log,
  });
  return connmgr;
}

/** A client that sends exactly what it is told and keeps every byte. */
export class RawClient {
  readonly socket: Socket;
  text = "";
  isEnded = false;
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (data: Buffer) => {
      this.text += data.toString("latin1");
    });
    socket.on("end", () => {
      this.isEnded = true;
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
    });
  }

  static async over(socket: Socket, event = "connect"): Promise<RawClient> {
    const client = new RawClient(socket);
    await once(socket, event);
    return client;
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  bytes(data: Buffer): void {
    this.socket.write(data);
  }

  end(): void {
    this.socket.end();
  }

  async until(text: string): Promise<string> {
    await eventually(() => this.text.includes(text));
    return this.text;
  }

  /** Everything until the server closes. */
  async closed(): Promise<string> {
    await eventually(() => this.isEnded || this.isClosed);
    this.socket.destroy();
    return this.text;
  }

  /** True if the server still keeps the connection after it has handled what was sent. */
  get isOpen(): boolean {
    return !this.isEnded && !this.isClosed;
  }

  /** Asks for a WebSocket, and leaves the answer in `text`. */
  upgrade(fields = "", path = "/"): void {
    this.send(
      `GET ${path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${SAMPLE_KEY}\r\n${fields}\r\n`,
    );
  }

  take(): string {
    const { text } = this;
    this.text = "";
    return text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    await Promise.resolve();
  }
}
