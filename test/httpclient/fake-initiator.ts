import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "@pushpin/clock";
import { memoryLog } from "@pushpin/log";
import { toBuffer } from "@pushpin/tnetstrings";
import { Packet } from "@pushpin/zhttp";
import { InitiatorSockets, ResponderSockets } from "@pushpin/zhttp/sockets";
import { AddressPolicy, Engine, type EngineOptions } from "@pushpin/httpclient";

export interface Answer {
  readonly code: number | undefined;
  readonly reason: string;
  readonly headers: string[];
  readonly body: string;
  /** `end`, `cancel`, or the condition of an error. */
  readonly end: string;
  readonly packets: Packet[];
}

/** One session of the fake proxy: packets in the order they came. */
export class FakeSession {
  readonly packets: Packet[] = [];
  readonly #send: (packet: Packet, to: string) => void;
  readonly #id: string;
  #waiting: (() => void) | undefined;
  #read = 0;
  #seq = 1;
  #peer = "";

  constructor(id: string, send: (packet: Packet, to: string) => void) {
    this.#id = id;
    this.#send = send;
  }

  take(packet: Packet): void {
    this.#peer = packet.from;
    this.packets.push(packet);
    this.#waiting?.();
  }

  /** The next packet that is no keep-alive. */
  async next(): Promise<Packet> {
    for (;;) {
      const packet = this.packets[this.#read];
      if (packet === undefined) {
        await new Promise<void>((resolve) => {
          this.#waiting = resolve;
        });
        continue;
      }
      this.#read += 1;
      if (packet.type !== "keep-alive") return packet;
    }
  }

  send(fields: Partial<Packet>): void {
    const packet = Object.assign(new Packet(), { from: "px", id: this.#id, seq: this.#seq });
    this.#seq += 1;
    this.#send(Object.assign(packet, fields), this.#peer);
  }

  /** Everything up to the end, each body byte credited again as it comes. */
  async answer(): Promise<Answer> {
    const pieces: Buffer[] = [];
    const packets: Packet[] = [];
    let head: Packet | undefined;
    for (;;) {
      const packet = await this.next();
      if (packet.type === "credit") continue;
      packets.push(packet);
      const isData = packet.type === "data";
      if (isData) {
        head ??= packet;
        pieces.push(toBuffer(packet.body));
        if (packet.more && packet.body.length > 0)
          this.send({ type: "credit", credits: packet.body.length });
        if (packet.more) continue;
      }
      return {
        code: head?.code,
        reason: head?.reason ?? "",
        headers: head?.headers ?? [],
        body: Buffer.concat(pieces).toString("latin1"),
        end: isData ? "end" : packet.type === "error" ? packet.condition : packet.type,
        packets,
      };
    }
  }
}

/** An HTTP client with its own sockets, and a proxy that asks it, both ends over ipc. */
export class FakeInitiator {
  readonly engine: Engine;
  readonly #sessions: Map<string, FakeSession>;
  readonly #initiator: InitiatorSockets;
  readonly #responder: ResponderSockets;
  readonly #directory: string;
  #count = 0;

  private constructor(
    engine: Engine,
    sessions: Map<string, FakeSession>,
    responder: ResponderSockets,
    initiator: InitiatorSockets,
    directory: string,
  ) {
    this.engine = engine;
    this.#sessions = sessions;
    this.#responder = responder;
    this.#initiator = initiator;
    this.#directory = directory;
  }

  static async start(
    options: Partial<EngineOptions> = {},
    clock: Clock = systemClock,
  ): Promise<FakeInitiator> {
    const directory = await mkdtemp(join(tmpdir(), "hc-"));
    const log = memoryLog();
    const at = (name: string, mode: "bind" | "connect") => ({
      specs: [`ipc://${directory}/${name}`],
      mode,
    });
    let seen = (): void => {};
    const present = new Promise<void>((resolve) => {
      seen = resolve;
    });
    const sessions = new Map<string, FakeSession>();
    let engine: Engine | undefined;
    const responder = await ResponderSockets.open({
      instanceId: "hc",
      pull: at("out", "bind"),
      stream: at("stream", "bind"),
      pub: at("in", "bind"),
      log,
      onFirst: (packet) => engine?.first(packet),
      onPacket: (packet) => engine?.packet(packet),
      onPeer: () => seen(),
    });
    const policy = new AddressPolicy({
      defaultPolicy: "allow",
      allow: [],
      deny: [],
      denyInternal: true,
    });
    engine = new Engine(
      {
        instanceId: "hc",
        policy,
        http2: false,
        connectTimeoutMs: 10_000,
        timeoutMs: 60_000,
        exchangesMax: 1000,
        ...options,
      },
      clock,
      log,
      () => responder,
    );
    const initiator = await InitiatorSockets.open({
      instanceId: "px",
      push: at("out", "connect"),
      stream: at("stream", "connect"),
      sub: at("in", "connect"),
      log,
      onPacket: (packet) => {
        for (const { id } of packet.ids ?? [packet]) sessions.get(id)?.take(packet);
      },
    });
    await present;
    responder.announce();
    return new FakeInitiator(engine, sessions, responder, initiator, directory);
  }

  /** Opens a session; without fields to the contrary a GET with 200,000 credits under no policy. */
  open(fields: Partial<Packet>): FakeSession {
    this.#count += 1;
    const id = `s${this.#count}`;
    const session = new FakeSession(id, (packet, to) => this.#initiator.send(to, packet));
    this.#sessions.set(id, session);
    const first = Object.assign(new Packet(), {
      from: "px",
      id,
      seq: 0,
      method: "GET",
      stream: true,
      credits: 200_000,
      multi: true,
      batch: true,
      ignorePolicies: true,
    });
    this.#initiator.sendFirst(Object.assign(first, fields));
    return session;
  }

  ask(uri: string, fields: Partial<Packet> = {}): Promise<Answer> {
    return this.open({ uri, ...fields }).answer();
  }

  async stop(): Promise<void> {
    await this.engine.stop(0);
    await Promise.all([this.#initiator.close(), this.#responder.close()]);
    await rm(this.#directory, { recursive: true, force: true });
  }
}
