import { TimerWheel, type WheelNode } from "@pushpin/clock";
import { ByteStringMap } from "@pushpin/tnetstrings";
import type { Report } from "./report.ts";

/** A client connection as statistics name it. Texts are byte strings. */
export interface ConnectionInfo {
  /** `<sender>:<id>` of a request; the connection id of a WebSocket. */
  readonly id: string;
  readonly kind: "http" | "ws";
  /** Stats route; empty: none. */
  readonly route: string;
  readonly peerAddress: string;
  readonly secure: boolean;
  /** Of a connection taken over: its time nobody has counted yet. Undefined: it is new. */
  readonly unreportedMs: number | undefined;
}

export interface Connection {
  wheel?: WheelNode;
  readonly info: ConnectionInfo;
  /** Where it is counted. */
  readonly report: Report;
  /** Minutes are counted up to here. */
  countedMs: number;
  refreshMs: number;
  /** Given away: forgotten then, unless it comes back or ends before. */
  lingerUntilMs: number | undefined;
}

export interface ConnectionEvents {
  /** To be announced again. */
  refreshed(info: ConnectionInfo): void;
  minutes(connection: Connection, count: number): void;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
const WHEEL_SLOTS = 128;
/** Longer than a handler may take to answer whether it accepts a connection. */
export const LINGER_MS = 10_000;

/** All open connections: who has to be announced again, and how long they have been there. */
export class ConnectionTable {
  readonly #connections = new ByteStringMap<Connection>();
  readonly #wheel: TimerWheel<Connection>;
  readonly #refreshMs: number;
  readonly #events: ConnectionEvents;
  #added = 0;

  /** Announcements are repeated within three quarters of `ttlMs`. */
  constructor(ttlMs: number, nowMs: number, events: ConnectionEvents) {
    this.#refreshMs = (ttlMs * 3) / 4;
    this.#wheel = new TimerWheel(SECOND_MS, WHEEL_SLOTS, nowMs);
    this.#events = events;
  }

  /** Those that linger included. */
  get size(): number {
    return this.#connections.size;
  }

  /** Whether it is here and was not given away. */
  has(id: string): boolean {
    const connection = this.#connections.get(id);
    return connection !== undefined && connection.lingerUntilMs === undefined;
  }

  /** A new connection counts a minute at once. Undefined if it is there already. */
  add(info: ConnectionInfo, report: Report, nowMs: number): Connection | undefined {
    const known = this.#connections.get(info.id);
    if (known !== undefined) {
      if (known.lingerUntilMs === undefined) return undefined;
      this.#wheel.cancel(known);
    }
    const connection: Connection = {
      info,
      report,
      countedMs: nowMs - (info.unreportedMs ?? 0),
      refreshMs: nowMs + this.#firstRefreshMs(),
      lingerUntilMs: undefined,
    };
    this.#connections.set(info.id, connection);
    this.#schedule(connection);
    if (info.unreportedMs === undefined) this.#events.minutes(connection, 1);
    return connection;
  }

  remove(id: string): Connection | undefined {
    const connection = this.#connections.get(id);
    if (connection === undefined) return undefined;
    this.#connections.delete(id);
    this.#wheel.cancel(connection);
    return connection;
  }

  /** It is somebody else's now; its end may still be told here for `LINGER_MS`. */
  giveAway(id: string, nowMs: number): Connection | undefined {
    const connection = this.#connections.get(id);
    if (connection === undefined || connection.lingerUntilMs !== undefined) return undefined;
    connection.lingerUntilMs = nowMs + LINGER_MS;
    this.#wheel.schedule(connection, connection.lingerUntilMs);
    return connection;
  }

  /** Once a second. */
  tick(nowMs: number): void {
    this.#wheel.advance(nowMs, (connection) => this.#due(connection, nowMs));
  }

  #due(connection: Connection, nowMs: number): void {
    if (connection.lingerUntilMs !== undefined) {
      // Its new owner speaks of it; an end told here would be wrong.
      this.#connections.delete(connection.info.id);
      return;
    }
    const minutes = Math.floor((nowMs - connection.countedMs) / MINUTE_MS);
    if (minutes > 0) {
      connection.countedMs += minutes * MINUTE_MS;
      this.#events.minutes(connection, minutes);
    }
    if (nowMs >= connection.refreshMs) {
      connection.refreshMs = nowMs + this.#refreshMs;
      this.#events.refreshed(connection.info);
    }
    this.#schedule(connection);
  }

  #schedule(connection: Connection): void {
    this.#wheel.schedule(
      connection,
      Math.min(connection.countedMs + MINUTE_MS, connection.refreshMs),
    );
  }

  /** In the second half of the time, by turns: those that came together are spread over seconds. */
  #firstRefreshMs(): number {
    const half = this.#refreshMs / 2;
    const spread = (this.#added * SECOND_MS) % Math.max(half, SECOND_MS);
    this.#added += 1;
    return Math.min(half + spread, this.#refreshMs);
  }
}
