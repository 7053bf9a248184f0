import type { TnetMap } from "@pushpin/tnetstrings";
import { countOf, type StatsFields } from "./stats-packet.ts";

/** Traffic counters of a report, by side, kind and direction. */
export const BYTE_COUNTERS = {
  clientHeaderBytesReceived: "client-header-bytes-received",
  clientHeaderBytesSent: "client-header-bytes-sent",
  clientContentBytesReceived: "client-content-bytes-received",
  clientContentBytesSent: "client-content-bytes-sent",
  clientMessagesReceived: "client-messages-received",
  clientMessagesSent: "client-messages-sent",
  serverHeaderBytesReceived: "server-header-bytes-received",
  serverHeaderBytesSent: "server-header-bytes-sent",
  serverContentBytesReceived: "server-content-bytes-received",
  serverContentBytesSent: "server-content-bytes-sent",
  serverMessagesReceived: "server-messages-received",
  serverMessagesSent: "server-messages-sent",
} as const;
export type ByteCounter = keyof typeof BYTE_COUNTERS;
const COUNTERS = Object.keys(BYTE_COUNTERS) as ByteCounter[];

/** What is counted for one route in one period. */
export class Report {
  /** Open at this moment. */
  connectionsNow = 0;
  /** Most at a time in the period. */
  connections = 0;
  minutes = 0;
  received = 0;
  sent = 0;
  httpResponseSent = 0;
  /** Undefined: blocks are not counted. */
  blocksReceived: number | undefined;
  blocksSent: number | undefined;
  readonly counters: Record<ByteCounter, number>;
  /** The report before this one was all zero. */
  wasEmpty = false;

  constructor() {
    this.counters = Object.fromEntries(COUNTERS.map((one) => [one, 0])) as Record<
      ByteCounter,
      number
    >;
  }

  connected(): void {
    this.connectionsNow += 1;
    if (this.connectionsNow > this.connections) this.connections = this.connectionsNow;
  }

  disconnected(): void {
    this.connectionsNow -= 1;
  }

  /** Adds what another process counted; its connections are not a sum, and stay out of it. */
  merge(fields: TnetMap): void {
    this.minutes += countOf(fields, "minutes");
    for (const counter of COUNTERS)
      this.counters[counter] += countOf(fields, BYTE_COUNTERS[counter]);
  }

  get isEmpty(): boolean {
    return (
      this.connections + this.connectionsNow === 0 &&
      this.minutes + this.received + this.sent + this.httpResponseSent === 0 &&
      COUNTERS.every((one) => this.counters[one] === 0)
    );
  }

  /** `proxyConnections`: those that proxies have. */
  fields(durationMs: number, proxyConnections: number): StatsFields {
    const fields: Record<string, number | undefined> = {
      connections: this.connections + proxyConnections,
      minutes: this.minutes,
      received: this.received,
      sent: this.sent,
      "http-response-sent": this.httpResponseSent,
      "blocks-received": this.blocksReceived,
      "blocks-sent": this.blocksSent,
      duration: durationMs,
    };
    for (const counter of COUNTERS) fields[BYTE_COUNTERS[counter]] = this.counters[counter];
    return fields;
  }

  /** A new period begins. */
  reset(): void {
    this.connections = this.connectionsNow;
    this.minutes = 0;
    this.received = 0;
    this.sent = 0;
    this.httpResponseSent = 0;
    if (this.blocksReceived !== undefined) this.blocksReceived = 0;
    if (this.blocksSent !== undefined) this.blocksSent = 0;
    for (const counter of COUNTERS) this.counters[counter] = 0;
  }
}
