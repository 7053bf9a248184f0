import type { HandlerStats } from "./stats-port.ts";

/** Statistics of a handler that has none: tests, and no `stats_spec`. */
export const silentStats: HandlerStats = {
  connectionAdded: () => {},
  connectionRemoved: () => {},
  connectionGivenAway: () => 0,
  subscribers: () => {},
  activity: () => {},
  received: () => {},
  message: () => {},
  sent: () => {},
  count: () => {},
};
