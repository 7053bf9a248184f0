import { countOf, type ShownPacket, textOf } from "./shown-packet.ts";
import { SubscriptionList } from "./subscription-list.ts";

/** Limit: connections counted; more are left out of the number. */
export const CONNECTIONS_COUNTED_MAX = 200_000;
/** Limit: channels and routes whose traffic is counted; more are left out of the table. */
export const ROWS_COUNTED_MAX = 10_000;
/** Rates are means over this long. Unit: seconds. */
const RATE_WINDOW_S = 10;
/** A route that has not reported for this long is not shown. */
const REPORT_KEPT_MS = 60_000;
/** A packet that names no time is believed for this long. Unit: seconds. */
const CONNECTION_TTL_S = 120;

/** Events of the last seconds. */
class Rate {
  readonly #buckets = new Array<number>(RATE_WINDOW_S).fill(0);
  #second = 0;

  add(count: number, nowMs: number): void {
    this.#advance(nowMs);
    const at = this.#second % RATE_WINDOW_S;
    this.#buckets[at] = (this.#buckets[at] as number) + count;
  }

  perSecond(nowMs: number): number {
    this.#advance(nowMs);
    return this.#buckets.reduce((sum, one) => sum + one, 0) / RATE_WINDOW_S;
  }

  #advance(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    const passed = Math.min(second - this.#second, RATE_WINDOW_S);
    for (let i = 0; i < passed; i += 1) this.#buckets[(second - i) % RATE_WINDOW_S] = 0;
    this.#second = Math.max(second, this.#second);
  }
}

interface Traffic {
  readonly published: Rate;
  readonly delivered: Rate;
}
const newTraffic = (): Traffic => ({ published: new Rate(), delivered: new Rate() });

/** Collects statistics packets and shows them as a screen of text. */
export class StatsView {
  readonly #requests = new Rate();
  readonly #all = newTraffic();
  readonly #channels = new Map<string, Traffic>();
  readonly #connections = new Map<string, { readonly type: string; readonly expiresAtMs: number }>();
  readonly #reports = new Map<string, { readonly packet: ShownPacket; readonly atMs: number }>();
  readonly #subscriptions = new SubscriptionList();
  #from = "";

  receive(packet: ShownPacket, nowMs: number): void {
    this.#from = textOf(packet, "from");
    switch (packet.topic) {
      case "counts":
        this.#requests.add(countOf(packet, "requests-received"), nowMs);
        break;
      case "message":
        this.#message(packet, nowMs);
        break;
      case "conn":
        this.#connection(packet, nowMs);
        break;
      case "sub":
        this.#subscriptions.receive(packet, nowMs);
        break;
      case "report": {
        const route = textOf(packet, "route");
        // Limit: ROWS_COUNTED_MAX
        if (this.#reports.size < ROWS_COUNTED_MAX || this.#reports.has(route))
          this.#reports.set(route, { packet, atMs: nowMs });
        break;
      }
    }
  }

  /** Forgets what nobody has confirmed in its time. */
  expire(nowMs: number): void {
    this.#subscriptions.expire(nowMs);
    for (const [id, { expiresAtMs }] of this.#connections)
      if (nowMs >= expiresAtMs) this.#connections.delete(id);
    for (const [route, { atMs }] of this.#reports)
      if (nowMs >= atMs + REPORT_KEPT_MS) this.#reports.delete(route);
    for (const [channel, { delivered, published }] of this.#channels)
      if (published.perSecond(nowMs) + delivered.perSecond(nowMs) === 0)
        this.#channels.delete(channel);
  }

  /** At most `rows` lines of at most `columns` characters. */
  render(nowMs: number, columns: number, rows: number): string[] {
    const lines = [this.#from, this.#totals(nowMs), ""];
    if (this.#reports.size > 0) lines.push(...this.#routes(), "");
    lines.push(...this.#channelRows(nowMs));
    return lines.slice(0, rows).map((line) => line.slice(0, columns).trimEnd());
  }

  #message(packet: ShownPacket, nowMs: number): void {
    const channel = textOf(packet, "channel");
    let traffic = this.#channels.get(channel);
    // Limit: ROWS_COUNTED_MAX
    if (traffic === undefined && this.#channels.size < ROWS_COUNTED_MAX) {
      traffic = newTraffic();
      this.#channels.set(channel, traffic);
    }
    for (const one of [this.#all, traffic]) {
      one?.published.add(1, nowMs);
      one?.delivered.add(countOf(packet, "count"), nowMs);
    }
  }

  #connection(packet: ShownPacket, nowMs: number): void {
    const id = textOf(packet, "id");
    if (packet.fields["unavailable"] === true) {
      this.#connections.delete(id);
      return;
    }
    // Limit: CONNECTIONS_COUNTED_MAX
    if (this.#connections.size >= CONNECTIONS_COUNTED_MAX && !this.#connections.has(id)) return;
    const expiresAtMs = nowMs + (countOf(packet, "ttl") || CONNECTION_TTL_S) * 1000;
    this.#connections.set(id, { type: textOf(packet, "type"), expiresAtMs });
  }

  #totals(nowMs: number): string {
    let sockets = 0;
    for (const { type } of this.#connections.values()) if (type === "ws") sockets += 1;
    const http = this.#connections.size - sockets;
    return [
      `requests ${perSecond(this.#requests, nowMs)}`,
      `published ${perSecond(this.#all.published, nowMs)}`,
      `delivered ${perSecond(this.#all.delivered, nowMs)}`,
      `connections ${this.#connections.size} (http ${http}, ws ${sockets})`,
      `channels ${new Set(this.#subscriptions.all.map((one) => one.channel)).size}`,
    ].join("   ");
  }

  #routes(): string[] {
    const rows = [...this.#reports]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([route, { packet }]) => [
        route === "" ? "-" : route,
        ...["connections", "minutes", "received", "sent"].map((name) => countOf(packet, name)),
      ]);
    return table(["ROUTE", "CONNECTIONS", "MINUTES", "RECEIVED", "SENT"], rows);
  }

  #channelRows(nowMs: number): string[] {
    const subscribers = new Map<string, number>();
    for (const one of this.#subscriptions.all)
      subscribers.set(one.channel, (subscribers.get(one.channel) ?? 0) + one.subscribers);
    const rows = [...new Set([...subscribers.keys(), ...this.#channels.keys()])]
      .map((channel) => {
        const traffic = this.#channels.get(channel);
        return {
          channel,
          subscribers: subscribers.get(channel) ?? 0,
          published: traffic?.published.perSecond(nowMs) ?? 0,
          delivered: traffic?.delivered.perSecond(nowMs) ?? 0,
        };
      })
      .sort((a, b) => b.delivered - a.delivered || b.subscribers - a.subscribers)
      .map((one) => [
        one.channel,
        one.subscribers,
        one.published.toFixed(1),
        one.delivered.toFixed(1),
      ]);
    return table(["CHANNEL", "SUBSCRIBERS", "PUBLISHED/s", "DELIVERED/s"], rows);
  }
}

const perSecond = (rate: Rate, nowMs: number) => `${rate.perSecond(nowMs).toFixed(1)}/s`;

/** The first column to the left, the others to the right. */
function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const all = [head, ...rows.map((row) => row.map((one) => shown(String(one))))];
  const widths = head.map((_, i) => Math.max(...all.map((row) => (row[i] as string).length)));
  return all.map((row) =>
    row.map((one, i) => (i === 0 ? one.padEnd(widths[i] ?? 0) : one.padStart(widths[i] ?? 0))).join("  "),
  );
}

/** Names come from publishers: what would move the cursor is shown as a dot. */
function shown(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be shown
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, ".");
}
