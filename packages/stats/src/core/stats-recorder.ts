import type { TnetMap } from "@pushpin/tnetstrings";
import { type ConnectionInfo, ConnectionTable } from "./connection-table.ts";
import { type ByteCounter, Report } from "./report.ts";
import type { StatsFields, StatsPacket, StatsTopic } from "./stats-packet.ts";
import { SubscriptionTable } from "./subscription-table.ts";

export interface RecorderOptions {
  readonly instanceId: string;
  readonly connectionTtlMs: number;
  /** False: connections are counted, not announced. */
  readonly sendConnections: boolean;
  readonly subscriptionTtlMs: number;
  /** 0: no reports. */
  readonly reportIntervalMs: number;
  readonly nowMs: number;
  /** Whether anybody wants packets of this kind; if not, none are made. */
  readonly isWanted: (topic: StatsTopic) => boolean;
  readonly publish: (topic: StatsTopic, fields: StatsFields) => void;
}

export type Transport = "http-response" | "http-stream" | "ws-message";

/** Sums since the start, for scraping. */
export interface Totals {
  requestsReceived: number;
  minutes: number;
  messagesReceived: number;
  messagesSent: number;
}

/** Limit: routes that are reported one by one; what is beyond counts for none. */
export const REPORTED_ROUTES_MAX = 10_000;

/** Turns what happens in a process into statistics packets (wire.md 5.6, handler.md 11). */
export class StatsRecorder {
  readonly totals: Totals = { requestsReceived: 0, minutes: 0, messagesReceived: 0, messagesSent: 0 };
  readonly #options: RecorderOptions;
  readonly #connections: ConnectionTable;
  readonly #subscriptions: SubscriptionTable;
  readonly #reports = new Map<string, Report>();
  readonly #activity = new Map<string, number>();
  readonly #requests = new Map<string, number>();
  #lastRoute = "";
  #lastReport: Report;
  #reportedMs: number;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#reportedMs = options.nowMs;
    this.#lastReport = new Report();
    this.#reports.set("", this.#lastReport);
    this.#connections = new ConnectionTable(options.connectionTtlMs, {
      present: (info) => this.#announce(info),
      ended: (info) => this.#takeBack(info.id, info.route),
      minutes: (route, count) => {
        this.#report(route).minutes += count;
        this.totals.minutes += count;
      },
    });
    this.#subscriptions = new SubscriptionTable(options.subscriptionTtlMs, {
      present: (mode, channel, subscribers) => {
        const ttl = Math.floor(options.subscriptionTtlMs / 1000);
        this.#publish("sub", "", { mode, channel, ttl, subscribers });
      },
      ended: (mode, channel) => this.#publish("sub", "", { mode, channel, unavailable: true }),
    });
  }

  get connectionsNow(): number {
    let sum = 0;
    for (const { connections, proxyConnections } of this.#reports.values())
      sum += connections + proxyConnections;
    return sum;
  }

  requestReceived(route: string): void {
    this.#requests.set(route, (this.#requests.get(route) ?? 0) + 1);
    this.totals.requestsReceived += 1;
  }

  activity(route: string, count: number): void {
    this.#activity.set(route, (this.#activity.get(route) ?? 0) + count);
  }

  connectionAdded(info: ConnectionInfo, nowMs: number): void {
    if (!this.#connections.add(info, nowMs)) return;
    this.#report(info.route).connected();
    // One that was taken over is known to those who listen.
    if (info.unreportedMs === undefined) this.#announce(info);
  }

  connectionRemoved(id: string, _nowMs: number): void {
    const connection = this.#connections.remove(id);
    if (connection === undefined) return;
    const { route } = connection.info;
    this.#report(route).disconnected();
    this.#takeBack(id, route);
  }

  /** Another process has it from now on; answers the connection time that is not counted yet, in ms. */
  connectionGivenAway(id: string, nowMs: number): number {
    const connection = this.#connections.remove(id);
    if (connection === undefined) return 0;
    this.#report(connection.info.route).disconnected();
    // It must not time out before the new owner speaks of it.
    this.#announce(connection.info);
    return Math.max(Math.floor(nowMs - connection.countedMs), 0);
  }

  subscribers(mode: string, channel: string, count: number, nowMs: number): void {
    this.#subscriptions.set(mode, channel, count, nowMs);
  }

  /** One item was taken in; `blocks` negative: they are not counted. */
  received(blocks: number): void {
    const report = this.#report("");
    report.received += 1;
    this.totals.messagesReceived += 1;
    if (blocks >= 0) report.blocksReceived = (report.blocksReceived ?? 0) + blocks;
  }

  message(
    channel: string,
    itemId: string | undefined,
    transport: Transport,
    receivers: number,
    blocks: number,
  ): void {
    if (!this.#options.isWanted("message")) return;
    this.#publish("message", "", {
      channel,
      "item-id": itemId,
      count: receivers,
      blocks: blocks < 0 ? undefined : blocks,
      transport,
    });
  }

  sent(route: string, transport: Transport, count: number, blocks: number): void {
    const report = this.#report(route);
    report.sent += count;
    this.totals.messagesSent += count;
    if (transport === "http-response") report.httpResponseSent += count;
    if (blocks >= 0) report.blocksSent = (report.blocksSent ?? 0) + blocks;
  }

  count(route: string, counter: ByteCounter, amount: number): void {
    this.#report(route).counters[counter] += amount;
  }

  /** What a proxy tells becomes ours. */
  fromProxy({ topic, fields }: StatsPacket): void {
    const route = textOf(fields, "route");
    switch (topic) {
      case "activity":
        this.activity(route, countOf(fields, "count"));
        return;
      case "counts": {
        const requests = countOf(fields, "requests-received");
        this.#requests.set(route, (this.#requests.get(route) ?? 0) + requests);
        this.totals.requestsReceived += requests;
        return;
      }
      case "report":
        this.#report(route).merge(fields);
        this.totals.minutes += countOf(fields, "minutes");
        return;
      case "conn":
        if (!this.#connections.has(textOf(fields, "id"))) this.#forward(fields);
        return;
      default:
    }
  }

  /** Every 100 ms. */
  flush(): void {
    for (const [route, count] of this.#activity)
      if (count > 0) this.#publish("activity", route, { count });
    this.#activity.clear();
    for (const [route, count] of this.#requests)
      if (count > 0) this.#publish("counts", route, { "requests-received": count });
    this.#requests.clear();
  }

  /** Once a second. */
  tick(nowMs: number): void {
    this.#connections.tick(nowMs);
    this.#subscriptions.tick(nowMs);
    const { reportIntervalMs } = this.#options;
    if (reportIntervalMs > 0 && nowMs - this.#reportedMs >= reportIntervalMs) this.#sendReports(nowMs);
  }

  #sendReports(nowMs: number): void {
    const durationMs = Math.round(nowMs - this.#reportedMs);
    this.#reportedMs = nowMs;
    for (const [route, report] of this.#reports) {
      const { isEmpty } = report;
      if (!isEmpty || !report.wasEmpty) this.#publish("report", route, report.fields(durationMs));
      if (isEmpty && report.wasEmpty && route !== "") {
        this.#reports.delete(route);
        if (this.#lastRoute === route) this.#lastRoute = "";
      }
      report.wasEmpty = isEmpty;
      report.reset();
    }
    this.#lastReport = this.#reports.get(this.#lastRoute) ?? (this.#reports.get("") as Report);
  }

  #report(route: string): Report {
    if (route === this.#lastRoute) return this.#lastReport;
    let report = this.#reports.get(route);
    if (report === undefined) {
      // Limit: REPORTED_ROUTES_MAX
      if (this.#reports.size >= REPORTED_ROUTES_MAX) return this.#reports.get("") as Report;
      report = new Report();
      this.#reports.set(route, report);
    }
    this.#lastRoute = route;
    this.#lastReport = report;
    return report;
  }

  #announce(info: ConnectionInfo): void {
    if (!this.#options.sendConnections || !this.#options.isWanted("conn")) return;
    this.#publish("conn", info.route, {
      id: info.id,
      type: info.kind,
      "peer-address": info.peerAddress === "" ? undefined : info.peerAddress,
      ssl: info.secure || undefined,
      ttl: Math.floor(this.#options.connectionTtlMs / 1000),
    });
  }

  #takeBack(id: string, route: string): void {
    if (!this.#options.sendConnections || !this.#options.isWanted("conn")) return;
    this.#publish("conn", route, { id, unavailable: true });
  }

  #forward(fields: TnetMap): void {
    if (!this.#options.isWanted("conn")) return;
    const all: Record<string, StatsFields[string]> = {};
    for (const [name, value] of fields) all[name] = value;
    all["from"] = this.#options.instanceId;
    this.#options.publish("conn", all);
  }

  #publish(topic: StatsTopic, route: string, fields: StatsFields): void {
    if (!this.#options.isWanted(topic)) return;
    this.#options.publish(topic, {
      from: this.#options.instanceId,
      route: route === "" ? undefined : route,
      ...fields,
    });
  }
}

function textOf(fields: TnetMap, name: string): string {
  const value = fields.get(name);
  return typeof value === "string" ? value : "";
}

function countOf(fields: TnetMap, name: string): number {
  const value = fields.get(name);
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
