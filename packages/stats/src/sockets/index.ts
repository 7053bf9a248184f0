export { MetricsServer, parseMetricsAddress } from "./metrics-server.ts";
export { StatsPublisher, type StatsPublisherOptions } from "./stats-publisher.ts";
