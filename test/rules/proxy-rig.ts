import { ManualClock } from "@pushpin/clock";
import { type ProxySettings, proxySettings } from "@pushpin/config";
import { memoryLog } from "@pushpin/log";
import { Engine, type EngineSockets, KeyStore, RouteTable, TICK_MS } from "@pushpin/proxy";
import { StatsRecorder } from "@pushpin/stats";
import {
  type Bytes,
  concatBytes,
  decode,
  encode,
  fromUtf8,
  type TnetInput,
  type TnetMap,
  toByteString,
} from "@pushpin/tnetstrings";
import { Packet } from "@pushpin/zhttp";
import {
  type ControlItem,
  decodeControlPacket,
  decodePairs,
  encodeControlPacket,
  type RpcResult,
} from "@pushpin/zrpc";

/** What a client of the connection manager sees. */
export interface Client {
  readonly id: string;
  readonly isWebSocket: boolean;
  code: number;
  reason: string;
  headers: string[];
  body: string;
  /** WebSocket: messages, and controls as `ping:x`, `close:4000 bye`. */
  readonly messages: string[];
  end: string | undefined;
  /** Takes no more: credits are not given back. */
  isStalled: boolean;
  seq: number;
  inSeq: number;
  partial: string;
}

/** A request or WebSocket that reached the HTTP client. */
export interface Asked {
  readonly packet: Packet;
  readonly uri: string;
  readonly method: string;
  readonly headers: string[];
  body: string;
  isBodyDone: boolean;
  readonly isWebSocket: boolean;
  readonly messages: string[];
  end: string | undefined;
  seq: number;
  inSeq: number;
  partial: string;
}

export interface Given {
  readonly method?: string;
  readonly uri?: string;
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly more?: boolean;
  readonly peerAddress?: string;
}

export interface RpcCall {
  readonly method: string;
  readonly args: TnetMap;
  reply(result: RpcResult): void;
}

/** The proxy's engine between a connection manager, an HTTP client and a handler of the test's own. */
export class ProxyRig {
  readonly clock = new ManualClock(1_700_000_000_000);
  readonly log: ReturnType<typeof memoryLog> = memoryLog();
  readonly engine: Engine;
  readonly asked: Asked[] = [];
  readonly accepts: RpcCall[] = [];
  readonly inspects: RpcCall[] = [];
  readonly control: (ControlItem & { to: string })[] = [];
  readonly problems: string[] = [];
  readonly stats: Record<string, unknown>[] = [];
  readonly #clients = new Map<string, Client>();
  readonly #backends = new Map<string, Asked>();
  #reactions: (() => void)[] = [];
  #nextId = 0;

  constructor(
    routes: readonly string[] | string,
    settings: Readonly<Record<string, string | boolean | number | readonly string[]>> = {},
    options: { keyDirectory?: string; openRequestsMax?: number } = {},
  ) {
    const defaults = Object.fromEntries(
      Object.entries(proxySettings.settings).map(([key, one]) => [key, one.fallback]),
    );
    const all = {
      ...defaults,
      sig_key: "changeme",
      set_x_forwarded_protocol: "proto-only",
      sockjs_url: "http://sockjs.example/sockjs.js",
      ...settings,
    } as unknown as ProxySettings;
    const call = (into: RpcCall[]) => ({
      callLater: (method: string, args: TnetInput, done: (result: RpcResult) => void) => {
        const map = decode(encode(args));
        if (!map.ok) throw new Error(map.error);
        into.push({
          method,
          args: map.value as TnetMap,
          reply: (result) => {
            done(result);
            this.#settle();
          },
        });
      },
    });
    const sockets = {
      clients: {
        send: (_to: string, packet: Packet) => this.#toClients(packet),
        pauseIntake: () => {},
        resumeIntake: () => {},
      },
      backends: {
        sendFirst: (packet: Packet) => this.#toBackend(packet, true),
        send: (_to: string, packet: Packet) => this.#toBackend(packet, false),
      },
      internal: { send: (_to: string, packet: Packet) => this.#toClients(packet) },
      zhttpTargets: { stream: () => undefined, isReachable: () => false, request: () => {}, tick: () => {}, has: () => false }, // prettier-ignore
      inspectCalls: call(this.inspects),
      acceptCalls: call(this.accepts),
      controlInit: (frame: Buffer) => this.#control("", frame),
      controlStream: (to: string, frame: Buffer) => this.#control(to, frame),
      toSibling: () => {},
    } as unknown as EngineSockets;
    this.engine = new Engine({
      instanceId: "proxy",
      settings: all,
      openRequestsMax: options.openRequestsMax ?? Number.POSITIVE_INFINITY,
      shareAll: false,
      decodesContent: false,
      isSucceeded: true,
      keys: new KeyStore(options.keyDirectory ?? "/", this.log),
      clock: this.clock,
      log: this.log,
      stats: new StatsRecorder({
        instanceId: "proxy",
        connectionTtlMs: 120_000,
        sendConnections: true,
        subscriptionTtlMs: 60_000,
        reportIntervalMs: 10_000,
        nowMs: this.clock.nowMs(),
        isWanted: () => true,
        publish: (topic, fields) => this.stats.push({ topic, ...fields }),
      }),
      sockets: () => sockets,
    });
    const lines = typeof routes === "string" ? [routes] : routes;
    this.engine.routes = RouteTable.parse(lines.map(fromUtf8), ({ line, text }) =>
      this.problems.push(`${line}${text}`),
    );
  }

  stop(): void {
    void this.engine.stop();
  }

  /** What was collected for the handler goes out. */
  flush(): void {
    this.engine.tick();
    this.#settle();
  }

  /** Lets time pass in the steps the engine takes. */
  advance(ms: number): void {
    for (let left = ms; left > 0; left -= TICK_MS) {
      this.clock.advance(Math.min(left, TICK_MS));
      this.engine.tick();
      this.#settle();
    }
  }

  request(given: Given = {}): Client {
    const uri = given.uri ?? "http://h/";
    const packet = new Packet();
    packet.method = given.method ?? "GET";
    packet.uri = uri;
    packet.headers = [...(given.headers ?? ["Host", uri.split("/")[2] ?? "h"])];
    packet.body = given.body ?? "";
    packet.more = given.more ?? false;
    packet.stream = true;
    packet.peerAddress = given.peerAddress ?? "127.0.0.1";
    return this.#open(packet, false);
  }

  webSocket(given: Given = {}): Client {
    const uri = given.uri ?? "ws://h/";
    const packet = new Packet();
    packet.method = "GET";
    packet.uri = uri;
    packet.headers = [...(given.headers ?? ["Host", uri.split("/")[2] ?? "h"])];
    packet.peerAddress = given.peerAddress ?? "127.0.0.1";
    return this.#open(packet, true);
  }

  /** A request of the handler. */
  internal(given: Given, passthrough: Readonly<Record<string, TnetInput>>): Client {
    const packet = new Packet();
    packet.method = given.method ?? "GET";
    packet.uri = given.uri ?? "http://h/";
    packet.headers = [...(given.headers ?? [])];
    packet.body = given.body ?? "";
    packet.stream = true;
    packet.passthrough = (decode(encode(passthrough)) as { value: TnetMap }).value;
    return this.#open(packet, false, true);
  }

  /** The newest request at the HTTP client. */
  get last(): Asked {
    const last = this.asked.at(-1);
    if (last === undefined) throw new Error("nobody was asked");
    return last;
  }

  /** The client's connection sends something. */
  fromClient(client: Client, fill: (packet: Packet) => void): void {
    const packet = new Packet();
    packet.from = "cm";
    packet.id = client.id;
    packet.seq = client.seq;
    client.seq += 1;
    fill(packet);
    this.engine.packet(packet);
    this.#settle();
  }

  body(client: Client, body: string, more: boolean): void {
    this.fromClient(client, (packet) => {
      packet.body = body;
      packet.more = more;
    });
  }

  message(client: Client, body: string, more = false, type = "text"): void {
    this.fromClient(client, (packet) => {
      packet.contentType = type;
      packet.body = body;
      packet.more = more;
    });
  }

  disconnect(client: Client): void {
    this.fromClient(client, (packet) => {
      packet.type = "cancel";
    });
  }

  close(client: Client, code?: number, reason = ""): void {
    this.fromClient(client, (packet) => {
      packet.type = "close";
      packet.code = code;
      packet.body = reason;
    });
  }

  /** The backend answers. */
  answer(
    asked: Asked,
    code: number,
    headers: readonly string[] = [],
    body: Bytes = "",
    more = false,
    reason = "OK",
  ): void {
    this.fromBackend(asked, (packet) => {
      packet.code = code;
      packet.reason = reason;
      packet.headers = [...headers];
      packet.body = body;
      packet.more = more;
      if (code === 101) packet.credits = 200_000;
    });
  }

  fromBackend(asked: Asked, fill: (packet: Packet) => void): void {
    const packet = new Packet();
    packet.from = "hc";
    packet.id = asked.packet.id;
    packet.seq = asked.seq;
    asked.seq += 1;
    fill(packet);
    this.engine.packet(packet);
    this.#settle();
  }

  fail(asked: Asked, condition: string): void {
    this.fromBackend(asked, (packet) => {
      packet.type = "error";
      packet.condition = condition;
    });
  }

  say(asked: Asked, body: string, more = false, type = "text"): void {
    this.fromBackend(asked, (packet) => {
      packet.contentType = type;
      packet.body = body;
      packet.more = more;
    });
  }

  /** The handler commands a WebSocket. */
  command(item: ControlItem): void {
    this.engine.controlPacket(encode(encodeControlPacket({ from: "handler", items: [item] })));
    this.#settle();
  }

  /** Items of one type that went to the handler. */
  told(type: ControlItem["type"]): (ControlItem & { to: string })[] {
    return this.control.filter((one) => one.type === type);
  }

  /** Access log lines. */
  get lines(): string[] {
    return this.log.lines.filter((one) => /^\[INFO\].* (?:code=|accept|error)/.test(one));
  }

  #open(packet: Packet, isWebSocket: boolean, isInternal = false): Client {
    this.#nextId += 1;
    const client: Client = {
      id: `0-0-${this.#nextId}`,
      isWebSocket,
      code: 0,
      reason: "",
      headers: [],
      body: "",
      messages: [],
      end: undefined,
      isStalled: false,
      seq: 1,
      inSeq: 0,
      partial: "",
    };
    this.#clients.set(client.id, client);
    packet.from = "cm";
    packet.id = client.id;
    packet.seq = 0;
    packet.credits = 1_000_000;
    packet.multi = true;
    if (isInternal) this.engine.firstInternal(packet);
    else this.engine.first(packet);
    this.#settle();
    return client;
  }

  #toClients(packet: Packet): void {
    for (const { id, seq } of packet.ids ?? [{ id: packet.id, seq: packet.seq }]) {
      const client = this.#clients.get(id);
      if (client === undefined) continue;
      if (seq !== client.inSeq) throw new Error(`client ${id}: ${seq} in the place of ${client.inSeq}`);
      client.inSeq += 1;
      this.#received(client, packet);
    }
  }

  #received(client: Client, packet: Packet): void {
    if (packet.type === "handoff-start")
      this.#reactions.push(() =>
        this.fromClient(client, (answer) => {
          answer.type = "handoff-proceed";
        }),
      );
    else if (packet.type === "cancel") client.end ??= "cancel";
    else if (packet.type === "error") {
      client.end ??= packet.condition;
      this.#head(client, packet);
      client.body += toByteString(packet.body);
    } else if (client.isWebSocket) this.#socketReceived(client, packet);
    else if (packet.type === "data") {
      this.#head(client, packet);
      client.body += toByteString(concatBytes([packet.body]));
      if (!packet.more) client.end ??= "complete";
      else this.#credit(client, packet.body.length);
    }
  }

  #socketReceived(client: Client, packet: Packet): void {
    if (packet.type === "data" && packet.code !== undefined) this.#head(client, packet);
    else this.#note(client, packet);
    this.#credit(client, packet.body.length);
  }

  #note(to: { messages: string[]; partial: string }, packet: Packet): void {
    const body = toByteString(packet.body);
    if (packet.type === "data") {
      to.partial += body;
      if (packet.more) return;
      to.messages.push(packet.contentType === "binary" ? `binary:${to.partial}` : to.partial);
      to.partial = "";
    } else if (packet.type === "ping" || packet.type === "pong")
      to.messages.push(`${packet.type}:${body}`);
    else if (packet.type === "close")
      to.messages.push(`close:${packet.code ?? ""} ${body}`.trimEnd());
  }

  #head(client: Client, packet: Packet): void {
    if (packet.code === undefined) return;
    client.code = packet.code;
    client.reason = packet.reason;
    client.headers = packet.headers ?? [];
  }

  #credit(client: Client, bytes: number): void {
    if (bytes === 0 || client.isStalled) return;
    this.#reactions.push(() =>
      this.fromClient(client, (answer) => {
        answer.type = "credit";
        answer.credits = bytes;
      }),
    );
  }

  #toBackend(packet: Packet, isFirst: boolean): void {
    if (isFirst) {
      const asked: Asked = {
        packet,
        uri: packet.uri,
        method: packet.method,
        headers: packet.headers ?? [],
        body: toByteString(packet.body),
        isBodyDone: !packet.more,
        isWebSocket: /^wss?:/.test(packet.uri),
        messages: [],
        end: undefined,
        seq: 0,
        inSeq: 1,
        partial: "",
      };
      this.asked.push(asked);
      this.#backends.set(packet.id, asked);
      if (packet.more)
        this.#reactions.push(() =>
          this.fromBackend(asked, (answer) => {
            answer.type = "credit";
            answer.credits = 1_000_000;
          }),
        );
      return;
    }
    for (const { id } of packet.ids ?? [{ id: packet.id }]) {
      const asked = this.#backends.get(id);
      if (asked === undefined) continue;
      if (packet.type === "cancel") asked.end ??= "cancel";
      else if (asked.isWebSocket) this.#note(asked, packet);
      else if (packet.type === "data") {
        asked.body += toByteString(packet.body);
        asked.isBodyDone = !packet.more;
      }
    }
  }

  #control(to: string, frame: Buffer): void {
    const decoded = decode(frame);
    const packet = decoded.ok ? decodeControlPacket(decoded.value) : decoded;
    if (!packet.ok) throw new Error(packet.error);
    for (const item of packet.value.items) {
      this.control.push({ ...item, to });
      // A handler acknowledges at once; so the proxy learns who it is.
      if (item.type !== "ack" && item.reqId !== undefined)
        this.#reactions.push(() =>
          this.command({ cid: item.cid, type: "ack", reqId: item.reqId }),
        );
    }
  }

  #settle(): void {
    for (let next = this.#reactions.shift(); next !== undefined; next = this.#reactions.shift())
      next();
  }
}

/** Flat headers of an encoded HTTP message. */
export function pairsOf(map: TnetMap, key: string): string[] {
  return decodePairs(map.get(key) as never) ?? [];
}

export function valueOf(headers: readonly string[], name: string): string | undefined {
  const at = headers.findIndex((one, i) => i % 2 === 0 && one.toLowerCase() === name.toLowerCase());
  return at < 0 ? undefined : headers[at + 1];
}
