import type { Mode } from "./subscriptions.ts";

export interface ConnectionInfo {
  readonly id: string;
  readonly kind: "http" | "ws";
  /** Stats route; empty: none. */
  readonly route: string;
  readonly peerAddress: string;
  readonly secure: boolean;
  /** Connection time nobody has counted yet. */
  readonly unreportedMs: number;
}

export type Transport = "http-response" | "http-stream" | "ws-message";

/** What a report counts beside connections and messages. */
export type ByteCounter =
  | "clientHeaderBytesSent"
  | "clientContentBytesSent"
  | "clientMessagesSent"
  | "serverHeaderBytesReceived"
  | "serverContentBytesReceived"
  | "serverMessagesReceived"
  | "serverHeaderBytesSent"
  | "serverMessagesSent";

/** What the core tells about itself; the statistics package turns it into packets (handler.md 11). */
export interface HandlerStats {
  connectionAdded(connection: ConnectionInfo, nowMs: number): void;
  connectionRemoved(id: string, nowMs: number): void;
  /** The connection goes back to the proxy; answers its connection time not yet counted, in ms. */
  connectionHandedBack(id: string, nowMs: number): number;
  subscribers(mode: Mode, channel: string, count: number, nowMs: number): void;
  activity(route: string, count: number): void;
  /** One item was taken in; blocks -1: not counted. */
  received(blocks: number): void;
  /** One item goes to all receivers of a transport. */
  message(
    channel: string,
    itemId: string | undefined,
    transport: Transport,
    receivers: number,
    blocks: number,
  ): void;
  /** `count` receivers of one route were served. */
  sent(route: string, transport: Transport, count: number, blocks: number): void;
  count(route: string, counter: ByteCounter, amount: number): void;
}
