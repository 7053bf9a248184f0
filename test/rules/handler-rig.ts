import { parsePublishBody } from "@pushpin/grip";
import { type CoreSettings, HandlerCore, TICK_MS } from "@pushpin/handler";
import { silentLog } from "@pushpin/log";
import { type StatsFields, StatsRecorder } from "@pushpin/stats";
import {
  concatBytes,
  decode,
  encode,
  fromUtf8,
  type TnetInput,
  type TnetMap,
  toByteString,
} from "@pushpin/tnetstrings";
import { type IdEntry, Packet } from "@pushpin/zhttp";
import {
  type ControlItem,
  decodeControlPacket,
  decodeResponseData,
  type RetryPacket,
} from "@pushpin/zrpc";

/** A response as the client of a connection manager sees it. */
export interface Client {
  readonly id: string;
  code: number;
  reason: string;
  headers: string[];
  body: string;
  /** `complete`, `cancel`, or `retry` when it went back to the proxy. */
  end: string | undefined;
  /** Takes no more: credits are not given back. */
  isStalled: boolean;
  seq: number;
  readonly pieces: string[];
}

/** A request of the handler's own. */
export interface Asked {
  readonly packet: Packet;
  readonly method: string;
  readonly uri: string;
  readonly headers: string[];
  readonly body: string;
  readonly passthrough: TnetMap | undefined;
  readonly atMs: number;
  isAnswered: boolean;
}

export interface AcceptGiven {
  readonly headers: readonly string[];
  readonly body?: string;
  readonly code?: number;
  readonly request?: { method?: string; uri?: string; headers?: string[]; body?: string };
  /** Members of the accept call. */
  readonly more?: Readonly<Record<string, TnetInput>>;
  /** Members of the request's state. */
  readonly state?: Readonly<Record<string, TnetInput>>;
  readonly clients?: number;
}

const SETTINGS: CoreSettings = {
  instanceId: "handler",
  messageRate: -1,
  messageHwm: -1,
  messageBlockSize: -1,
  messageWaitMs: 5000,
  idCacheTtlMs: 60_000,
  updateOnFirstSubscription: false,
  connectionSubscriptionMax: 20,
  subscriptionLingerMs: 60_000,
  wallOffsetMs: 1_700_000_000_000,
  recoverConcurrency: 10,
};

/**
 * The handler's core between a connection manager, a proxy and publishers that do what the test
 * says; time stands still until it is told to pass.
 */
export class HandlerRig {
  nowMs = 1000;
  readonly core: HandlerCore;
  readonly clients = new Map<string, Client>();
  readonly asked: Asked[] = [];
  readonly retries: RetryPacket[] = [];
  readonly control: (ControlItem & { to: string })[] = [];
  readonly subscriptions: string[] = [];
  readonly stats: (StatsFields & { topic: string })[] = [];
  readonly toClients: Packet[] = [];
  /** What clients do about what they got; packets never cross within one step of the core. */
  readonly #reactions: (() => void)[] = [];
  #nextId = 0;

  constructor(settings: Partial<CoreSettings> = {}) {
    const stats = new StatsRecorder({
      instanceId: "handler",
      connectionTtlMs: 120_000,
      sendConnections: true,
      subscriptionTtlMs: 60_000,
      reportIntervalMs: 10_000,
      nowMs: this.nowMs,
      isWanted: () => true,
      publish: (topic, fields) => this.stats.push({ topic, ...fields }),
    });
    this.core = new HandlerCore({
      settings: { ...SETTINGS, ...settings },
      log: silentLog,
      stats,
      random: () => 0.5,
      nowMs: this.nowMs,
      firstControlSeq: 0,
      outputs: {
        toClient: (_to, packet) => this.#toClient(packet),
        keepsAnchors: () => true,
        retry: (_to, retry) => {
          this.retries.push(retry);
          for (const { rid } of retry.requests) {
            const client = this.clients.get(rid.id);
            if (client !== undefined) client.end = "retry";
          }
        },
        wsControl: (to, frame) => {
          const decoded = decode(frame);
          const packet = decoded.ok ? decodeControlPacket(decoded.value) : decoded;
          if (!packet.ok) throw new Error(packet.error);
          for (const item of packet.value.items) this.control.push({ ...item, to });
        },
        isProxyThere: () => true,
        proxyEpochs: () => ({ epoch: 0, lostEpoch: 0 }),
        requestFirst: (packet) =>
          this.asked.push({
            packet,
            method: packet.method,
            uri: packet.uri,
            headers: packet.headers ?? [],
            body: toByteString(packet.body),
            passthrough: packet.passthrough,
            atMs: this.nowMs,
            isAnswered: false,
          }),
        requestFollowUp: () => {},
        subscribe: (channel) => this.subscriptions.push(`+${channel}`),
        unsubscribe: (channel) => this.subscriptions.push(`-${channel}`),
        storeLastIds: () => {},
        storeSession: () => {},
      },
    });
    this.tickStats = () => {
      stats.tick(this.nowMs);
      stats.flush();
    };
  }

  readonly tickStats: () => void;

  /** Lets time pass, in the steps the shell takes. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    while (this.nowMs < untilMs) {
      this.nowMs = Math.min(this.nowMs + TICK_MS, untilMs);
      this.core.tick(this.nowMs);
      this.#settle();
    }
  }

  /** A backend's response comes to the handler; answers the reply as the proxy gets it. */
  accept(given: AcceptGiven): {
    reply: ReturnType<HandlerCore["accept"]>;
    clients: Client[];
  } {
    const clients = Array.from({ length: given.clients ?? 1 }, () => this.#client());
    const request = {
      method: given.request?.method ?? "GET",
      uri: given.request?.uri ?? "http://h/path",
      headers: pairs(given.request?.headers ?? ["Host", "h"]),
      body: given.request?.body ?? "",
    };
    const args = decode(
      encode({
        requests: clients.map((client) => ({
          rid: { sender: "cm", id: client.id },
          "in-seq": client.seq,
          "out-seq": 2,
          "out-credits": 1_000_000,
          "peer-address": "127.0.0.1",
          ...given.state,
        })),
        "request-data": request,
        "orig-request-data": request,
        response: {
          code: given.code ?? 200,
          reason: "OK",
          headers: pairs(given.headers),
          body: given.body ?? "",
        },
        route: "*,*,*,*",
        trusted: true,
        ...given.more,
      }),
    );
    if (!args.ok) throw new Error(args.error);
    const reply = this.core.accept(args.value as TnetMap, "proxy", this.nowMs);
    this.#settle();
    return { reply, clients };
  }

  /** Accepts a hold and answers its first client. */
  hold(headers: readonly string[], body = "", more: Partial<AcceptGiven> = {}): Client {
    const { reply, clients } = this.accept({ headers, body, ...more });
    if (!reply.success) throw new Error(`refused: ${JSON.stringify(reply)}`);
    return clients[0] as Client;
  }

  /** What the proxy is told to answer, where nothing is held. */
  response(given: AcceptGiven): { code: number; reason: string; headers: string[]; body: string } {
    const { reply } = this.accept(given);
    if (!reply.success) throw new Error(`refused: ${JSON.stringify(reply)}`);
    const value = decode(encode(reply.value));
    if (!value.ok) throw new Error(value.error);
    const answer = (value.value as TnetMap).get("response") as TnetMap;
    const response = decodeResponseData(answer, "response");
    if (!response.ok) throw new Error(response.error);
    return { ...response.value, body: toByteString(response.value.body) };
  }

  /** Why a response was refused. */
  refusal(given: AcceptGiven): string {
    const { reply } = this.accept(given);
    if (reply.success) throw new Error("accepted");
    return `${reply.condition}: ${String(reply.value)}`;
  }

  /** Publishes as the control port does; items are JSON values. */
  publish(...items: readonly object[]): void {
    const parsed = parsePublishBody(fromUtf8(JSON.stringify({ items })));
    if (!parsed.ok) throw new Error(parsed.error);
    this.core.publish(parsed.value, this.nowMs);
    this.#settle();
  }

  /** An item for one format. */
  send(channel: string, format: string, value: object, more: object = {}): void {
    this.publish({ channel, formats: { [format]: value }, ...more });
  }

  stream(channel: string, content: string, more: object = {}): void {
    this.send(channel, "http-stream", { content }, more);
  }

  /** Answers a request of the handler's. */
  answer(asked: Asked, code: number, headers: readonly string[], body = ""): void {
    asked.isAnswered = true;
    const packet = new Packet();
    packet.from = "proxy";
    packet.id = asked.packet.id;
    packet.seq = 0;
    packet.code = code;
    packet.reason = "R";
    packet.headers = [...headers];
    packet.body = body;
    packet.multi = true;
    this.core.requestPacket(packet, this.nowMs);
    this.#settle();
  }

  fail(asked: Asked, condition: string): void {
    asked.isAnswered = true;
    const packet = new Packet();
    packet.from = "proxy";
    packet.id = asked.packet.id;
    packet.seq = 0;
    packet.type = "error";
    packet.condition = condition;
    this.core.requestPacket(packet, this.nowMs);
    this.#settle();
  }

  /** Requests not answered yet. */
  get open(): Asked[] {
    return this.asked.filter((one) => !one.isAnswered);
  }

  /** The client goes away. */
  disconnect(client: Client): void {
    this.fromClient(client, (packet) => {
      packet.type = "cancel";
    });
  }

  fromClient(client: Client, fill: (packet: Packet) => void): void {
    const packet = new Packet();
    packet.from = "cm";
    packet.id = client.id;
    packet.seq = client.seq;
    client.seq += 1;
    fill(packet);
    this.core.clientPacket(packet, this.nowMs);
    this.#settle();
  }

  // WebSockets

  /** A proxy announces a WebSocket. */
  here(cid: string, more: Partial<ControlItem> = {}): void {
    this.ws({ cid, type: "here", uri: "ws://h/", ttl: 60, reqId: "0", ...more });
  }

  ws(...items: readonly ControlItem[]): void {
    this.wsFrom("proxy", ...items);
  }

  wsFrom(proxy: string, ...items: readonly ControlItem[]): void {
    this.core.wsControl({ from: proxy, items }, this.nowMs);
  }

  /** A control message of the backend. */
  grip(cid: string, message: object | string): void {
    const text = typeof message === "string" ? message : JSON.stringify(message);
    this.ws({ cid, type: "grip", reqId: "1", message: fromUtf8(text) });
  }

  /** What the proxy was told to send to the client of a WebSocket. */
  sent(cid: string): string[] {
    return this.control
      .filter((one) => one.cid === cid && one.type === "send")
      .map((one) => toByteString(one.message ?? ""));
  }

  commands(cid: string, type: ControlItem["type"]): ControlItem[] {
    return this.control.filter((one) => one.cid === cid && one.type === type);
  }

  #client(): Client {
    this.#nextId += 1;
    const client: Client = {
      id: `0-0-${this.#nextId}`,
      code: 0,
      reason: "",
      headers: [],
      body: "",
      end: undefined,
      isStalled: false,
      seq: 2,
      pieces: [],
    };
    this.clients.set(client.id, client);
    return client;
  }

  #toClient(packet: Packet): void {
    this.toClients.push(packet);
    const ids: readonly IdEntry[] = packet.ids ?? [{ id: packet.id }];
    for (const { id } of ids) {
      const client = this.clients.get(id);
      if (client !== undefined) this.#received(client, packet);
    }
  }

  #received(client: Client, packet: Packet): void {
    if (packet.type === "handoff-start") {
      this.#reactions.push(() =>
        this.fromClient(client, (answer) => {
          answer.type = "handoff-proceed";
        }),
      );
      return;
    }
    if (packet.type === "cancel" || packet.type === "error") client.end ??= "cancel";
    if (packet.type !== "data") return;
    if (packet.code !== undefined) {
      client.code = packet.code;
      client.reason = packet.reason;
      client.headers = packet.headers ?? [];
    }
    const body = toByteString(concatBytes([packet.body]));
    client.body += body;
    if (body !== "") client.pieces.push(body);
    if (!packet.more) client.end ??= "complete";
    else if (body.length > 0 && !client.isStalled)
      this.#reactions.push(() =>
        this.fromClient(client, (answer) => {
          answer.type = "credit";
          answer.credits = body.length;
        }),
      );
  }

  #settle(): void {
    for (let next = this.#reactions.shift(); next !== undefined; next = this.#reactions.shift())
      next();
  }
}

function pairs(flat: readonly string[]): string[][] {
  const out: string[][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2)
    out.push([flat[i] as string, flat[i + 1] as string]);
  return out;
}
