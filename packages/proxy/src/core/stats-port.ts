/** A client connection as statistics name it. */
export interface ConnectionInfo {
  /** `<sender>:<id>` of a request; the connection id of a WebSocket. */
  readonly id: string;
  readonly kind: "http" | "ws";
  /** Stats route; empty: none. */
  readonly route: string;
  readonly peerAddress: string;
  readonly secure: boolean;
  /** Connection time nobody has counted yet (retries). */
  readonly unreportedMs: number;
}

/** What a report counts beside connections. */
export type ByteCounter =
  | "clientHeaderBytesReceived"
  | "clientHeaderBytesSent"
  | "clientContentBytesReceived"
  | "clientContentBytesSent"
  | "clientMessagesReceived"
  | "clientMessagesSent"
  | "serverHeaderBytesReceived"
  | "serverHeaderBytesSent"
  | "serverContentBytesReceived"
  | "serverContentBytesSent"
  | "serverMessagesReceived"
  | "serverMessagesSent";

/** What the relays tell about themselves (proxy.md 7.2). */
export interface ProxyStats {
  requestReceived(route: string): void;
  activity(route: string, count: number): void;
  connectionAdded(connection: ConnectionInfo, nowMs: number): void;
  connectionRemoved(id: string, nowMs: number): void;
  /** The handler takes the connection over; answers its connection time not yet counted, in ms. */
  connectionHandedOver(id: string, nowMs: number): number;
  count(route: string, counter: ByteCounter, amount: number): void;
}

/** Statistics of a proxy that has none: tests, and no `stats_spec`. */
export const silentStats: ProxyStats = {
  requestReceived: () => {},
  activity: () => {},
  connectionAdded: () => {},
  connectionRemoved: () => {},
  connectionHandedOver: () => 0,
  count: () => {},
};
