export { type ConnectionInfo, ConnectionTable, LINGER_MS } from "./connection-table.ts";
export { COUNTED_PROXIES_MAX, PROXY_ROUTES_MAX, ProxyConnections } from "./proxy-connections.ts";
export { BYTE_COUNTERS, type ByteCounter, Report } from "./report.ts";
export {
  decodeStatsPacket,
  encodeStatsPacket,
  readConnectionMaxima,
  type StatsFields,
  type StatsFormat,
  type StatsPacket,
  type StatsTopic,
  STATS_TOPICS,
} from "./stats-packet.ts";
export {
  CONNECTION_MAXIMUM_TTL_S,
  type RecorderOptions,
  REPORTED_ROUTES_MAX,
  StatsRecorder,
  type Totals,
  type Transport,
} from "./stats-recorder.ts";
export { SubscriptionTable } from "./subscription-table.ts";
