import type { StatsRecorder } from "@pushpin/stats";

export type { ByteCounter } from "@pushpin/stats";

/** What the relays tell about themselves (proxy.md 7.2). */
export type ProxyStats = Pick<
  StatsRecorder,
  | "requestReceived"
  | "activity"
  | "connectionAdded"
  | "connectionRemoved"
  | "connectionGivenAway"
  | "count"
>;
