import { detach, type TnetMap } from "@pushpin/tnetstrings";
import { type Connection, type ConnectionInfo, ConnectionTable } from "./connection-table.ts";
import { ProxyConnections } from "./proxy-connections.ts";
import { type ByteCounter, Report } from "./report.ts";
import {
  countOf,
  type StatsFields,
  type StatsPacket,
  type StatsTopic,
  textOf,
} from "./stats-packet.ts";
import { SubscriptionTable } from "./subscription-table.ts";

export interface RecorderOptions {
  readonly instanceId: string;
  readonly connectionTtlMs: number;
  /** False: connections are counted, not announced. */
  readonly sendConnections: boolean;
  readonly subscriptionTtlMs: number;
  /** 0: no reports, and no sums for scraping. */
  readonly reportIntervalMs: number;
  readonly nowMs: number;
  /** False: a connection that is taken over is known to those who listen. Default: it is announced. */
  readonly announceTakenOver?: boolean;
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

/** What a proxy last reported holds for this many of its periods. */
const PROXY_REPORT_PERIODS = 2.5;
/** For how long a maximum that a proxy is told to send holds. */
export const CONNECTION_MAXIMUM_TTL_S = 60;
const CONNECTION_MAXIMUM_TTL_MAX_S = 3600;

/** Limit: routes that are reported one by one; what is beyond counts for none. */
export const REPORTED_ROUTES_MAX = 10_000;

/** Turns what happens in a process into statistics packets (wire.md 5.6, handler.md 11). */
export class StatsRecorder {
  readonly totals: Totals = {
    requestsReceived: 0,
    minutes: 0,
    messagesReceived: 0,
    messagesSent: 0,
  };
  readonly #options: RecorderOptions;
  readonly #connections: ConnectionTable;
  readonly #subscriptions: SubscriptionTable;
  readonly #proxies = new ProxyConnections();
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
    this.#connections = new ConnectionTable(options.connectionTtlMs, options.nowMs, {
      refreshed: (info) => this.#announce(info),
      minutes: ({ report }, count) => {
        report.minutes += count;
        this.#add("minutes", count);
      },
    });
    this.#subscriptions = new SubscriptionTable(options.subscriptionTtlMs, options.nowMs, {
      present: (mode, channel, subscribers) => {
        const ttl = Math.floor(options.subscriptionTtlMs / 1000);
        this.#publish("sub", "", { mode, channel, ttl, subscribers });
      },
      ended: (mode, channel) => this.#publish("sub", "", { mode, channel, unavailable: true }),
    });
  }

  /** Most at a time in this period, those of proxies included: a sum over all routes. */
  get connectionsNow(): number {
    if (!this.#isCounting) return 0;
    let sum = this.#proxies.total;
    for (const { connections } of this.#reports.values()) sum += connections;
    return sum;
  }

  requestReceived(route: string): void {
    this.#requests.set(route, (this.#requests.get(route) ?? 0) + 1);
    this.#add("requestsReceived", 1);
  }

  activity(route: string, count: number): void {
    this.#activity.set(route, (this.#activity.get(route) ?? 0) + count);
  }

  connectionAdded(info: ConnectionInfo, nowMs: number): void {
    const connection = this.#connections.add(info, this.#report(info.route), nowMs);
    if (connection === undefined) return;
    connection.report.connected();
    if (info.unreportedMs === undefined || this.#options.announceTakenOver !== false)
      this.#announce(info);
  }

  connectionRemoved(id: string, _nowMs: number): void {
    const connection = this.#connections.remove(id);
    if (connection === undefined) return;
    if (!isLingering(connection)) connection.report.disconnected();
    this.#takeBack(id, connection.info.route);
  }

  /**
   * Another process has it from now on; answers the connection time that is not counted yet, in ms.
   * If that process does not want it, `connectionRemoved` may still follow.
   */
  connectionGivenAway(id: string, nowMs: number): number {
    const connection = this.#connections.giveAway(id, nowMs);
    if (connection === undefined) return 0;
    connection.report.disconnected();
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
    this.#add("messagesReceived", 1);
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
    this.#add("messagesSent", count);
    if (transport === "http-response") report.httpResponseSent += count;
    if (blocks >= 0) report.blocksSent = (report.blocksSent ?? 0) + blocks;
  }

  count(route: string, counter: ByteCounter, amount: number): void {
    this.#report(route).counters[counter] += amount;
  }

  /** What a proxy tells becomes ours. */
  fromProxy({ topic, fields }: StatsPacket, nowMs: number): void {
    const route = textOf(fields, "route");
    switch (topic) {
      case "activity":
        this.activity(route, countOf(fields, "count"));
        return;
      case "counts": {
        const requests = countOf(fields, "requests-received");
        this.#requests.set(route, (this.#requests.get(route) ?? 0) + requests);
        this.#add("requestsReceived", requests);
        return;
      }
      case "report": {
        this.#report(route).merge(fields);
        this.#add("minutes", countOf(fields, "minutes"));
        const periodMs = Math.max(countOf(fields, "duration"), this.#options.reportIntervalMs);
        const count = countOf(fields, "connections");
        this.#proxyHas(fields, route, count, nowMs + periodMs * PROXY_REPORT_PERIODS);
        return;
      }
      case "conn-max": {
        const ttlS = Math.min(countOf(fields, "ttl"), CONNECTION_MAXIMUM_TTL_MAX_S);
        this.#proxyHas(fields, route, countOf(fields, "max"), nowMs + ttlS * 1000);
        return;
      }
      case "conn":
        this.#forward(fields, route);
        return;
      default:
    }
  }

  /** What a handler that is told no single connections is told instead, one for each route. */
  connectionMaxima(): StatsFields[] {
    if (!this.#isCounting) return [];
    const all: StatsFields[] = [];
    for (const [route, { connections }] of this.#reports)
      if (connections > 0)
        all.push({
          from: this.#options.instanceId,
          route: route === "" ? undefined : route,
          max: connections,
          ttl: CONNECTION_MAXIMUM_TTL_S,
        });
    return all;
  }

  /** Every 100 ms. @returns whether there was anything. */
  flush(): boolean {
    if (this.#activity.size + this.#requests.size === 0) return false;
    for (const [route, count] of this.#activity)
      if (count > 0) this.#publish("activity", route, { count });
    this.#activity.clear();
    for (const [route, count] of this.#requests)
      if (count > 0) this.#publish("counts", route, { "requests-received": count });
    this.#requests.clear();
    return true;
  }

  /** Once a second. */
  tick(nowMs: number): void {
    this.#connections.tick(nowMs);
    this.#subscriptions.tick(nowMs);
    this.#proxies.expire(nowMs);
    const { reportIntervalMs } = this.#options;
    if (this.#isCounting && nowMs - this.#reportedMs >= reportIntervalMs) this.#sendReports(nowMs);
  }

  #sendReports(nowMs: number): void {
    const durationMs = Math.round(nowMs - this.#reportedMs);
    this.#reportedMs = nowMs;
    for (const [route, report] of this.#reports) {
      const proxyConnections = this.#proxies.of(route);
      const isEmpty = report.isEmpty && proxyConnections === 0;
      if (!isEmpty || !report.wasEmpty)
        this.#publish("report", route, report.fields(durationMs, proxyConnections));
      if (isEmpty && report.wasEmpty && route !== "") {
        this.#reports.delete(route);
        if (this.#lastRoute === route) this.#lastRoute = "";
      }
      report.wasEmpty = isEmpty;
      report.reset();
    }
    this.#lastReport = this.#reports.get(this.#lastRoute) ?? (this.#reports.get("") as Report);
  }

  get #isCounting(): boolean {
    return this.#options.reportIntervalMs > 0;
  }

  #add(total: keyof Totals, count: number): void {
    if (this.#isCounting) this.totals[total] += count;
  }

  #proxyHas(fields: TnetMap, route: string, connections: number, expiresMs: number): void {
    if (!this.#isCounting) return;
    if (connections > 0) this.#report(route); // so that there is one to be sent
    this.#proxies.set(textOf(fields, "from"), route, connections, expiresMs);
  }

  #report(route: string): Report {
    // Without reports nobody ever forgets a route.
    if (route === this.#lastRoute || !this.#isCounting) return this.#lastReport;
    let report = this.#reports.get(route);
    if (report === undefined) {
      // Limit: REPORTED_ROUTES_MAX
      if (this.#reports.size >= REPORTED_ROUTES_MAX) return this.#reports.get("") as Report;
      report = new Report();
      this.#reports.set(detach(route), report);
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

  /** A connection of a proxy is announced as if it were ours. */
  #forward(fields: TnetMap, route: string): void {
    if (!this.#options.sendConnections || !this.#options.isWanted("conn")) return;
    const id = textOf(fields, "id");
    if (id === "") return;
    if (fields.get("unavailable") === true) {
      // What we have taken over has not ended.
      if (!this.#connections.has(id)) this.#takeBack(id, route);
      return;
    }
    const peerAddress = textOf(fields, "peer-address");
    this.#publish("conn", route, {
      id,
      type: textOf(fields, "type") === "ws" ? "ws" : "http",
      "peer-address": peerAddress === "" ? undefined : peerAddress,
      ssl: fields.get("ssl") === true || undefined,
      ttl: countOf(fields, "ttl"),
    });
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

function isLingering(connection: Connection): boolean {
  return connection.lingerUntilMs !== undefined;
}
