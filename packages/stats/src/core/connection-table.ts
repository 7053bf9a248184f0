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
  readonly info: ConnectionInfo;
  /** Minutes are counted up to here. */
  countedMs: number;
  refreshMs: number;
}

export interface ConnectionEvents {
  /** To be announced, or announced again. */
  present(info: ConnectionInfo): void;
  ended(info: ConnectionInfo): void;
  minutes(route: string, count: number): void;
}

const MINUTE_MS = 60_000;

/** All open connections: who has to be announced again, and how long they have been there. */
export class ConnectionTable {
  readonly #connections = new Map<string, Connection>();
  readonly #refreshMs: number;
  readonly #events: ConnectionEvents;

  /** Announcements are repeated within three quarters of `ttlMs`. */
  constructor(ttlMs: number, events: ConnectionEvents) {
    this.#refreshMs = (ttlMs * 3) / 4;
    this.#events = events;
  }

  get size(): number {
    return this.#connections.size;
  }

  has(id: string): boolean {
    return this.#connections.has(id);
  }

  /** A new connection counts a minute at once. False if it is there already. */
  add(info: ConnectionInfo, nowMs: number): boolean {
    if (this.#connections.has(info.id)) return false;
    const countedMs = nowMs - (info.unreportedMs ?? 0);
    this.#connections.set(info.id, { info, countedMs, refreshMs: nowMs + this.#refreshMs });
    if (info.unreportedMs === undefined) this.#events.minutes(info.route, 1);
    return true;
  }

  remove(id: string): Connection | undefined {
    const connection = this.#connections.get(id);
    if (connection !== undefined) this.#connections.delete(id);
    return connection;
  }

  /** Once a second. */
  tick(nowMs: number): void {
    for (const connection of this.#connections.values()) {
      if (nowMs - connection.countedMs >= MINUTE_MS) {
        const minutes = Math.floor((nowMs - connection.countedMs) / MINUTE_MS);
        connection.countedMs += minutes * MINUTE_MS;
        this.#events.minutes(connection.info.route, minutes);
      }
      if (nowMs < connection.refreshMs) continue;
      connection.refreshMs = nowMs + this.#refreshMs;
      this.#events.present(connection.info);
    }
  }
}
