export {
  METRICS_CONNECTIONS_MAX,
  type MetricsAddress,
  MetricsServer,
  parseMetricsAddress,
} from "./metrics-server.ts";
export { StatsPublisher, type StatsPublisherOptions } from "./stats-publisher.ts";
