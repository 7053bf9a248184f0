export { type ConnectionInfo, ConnectionTable } from "./connection-table.ts";
export { BYTE_COUNTERS, type ByteCounter, Report } from "./report.ts";
export {
  decodeStatsPacket,
  encodeStatsPacket,
  type StatsFields,
  type StatsFormat,
  type StatsPacket,
  type StatsTopic,
  STATS_TOPICS,
} from "./stats-packet.ts";
export {
  type RecorderOptions,
  REPORTED_ROUTES_MAX,
  StatsRecorder,
  type Totals,
  type Transport,
} from "./stats-recorder.ts";
export { SubscriptionTable } from "./subscription-table.ts";
