import type { StatsRecorder } from "@pushpin/stats";

export type { ByteCounter, ConnectionInfo, Transport } from "@pushpin/stats";

/** What the core tells about itself; the statistics package turns it into packets (handler.md 11). */
export type HandlerStats = Pick<
  StatsRecorder,
  | "connectionAdded"
  | "connectionRemoved"
  | "connectionGivenAway"
  | "subscribers"
  | "activity"
  | "received"
  | "message"
  | "sent"
  | "count"
>;
