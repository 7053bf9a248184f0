import type { Socket } from "node:net";
import type { Packet } from "@pushpin/zhttp";
import { type buildConnector, Client } from "undici";
import { InterimFilter } from "../core/interim-filter.ts";
import type { RequestPlan } from "../core/request-plan.ts";
import type { AddressPolicy } from "./address-policy.ts";
import { type Connect, connectTo } from "./connector.ts";

/** A connection nobody used for this long is closed. */
export const IDLE_MS = 55_000;
/** Limit: head of a response. Unit: bytes. */
export const HEAD_MAX_BYTES = 65_536;
/**
 * A backend that closes a connection which was idle for at least this long may have done so before
 * the request reached it; one that was used a moment ago has seen the request.
 */
const MAY_HAVE_TIMED_OUT_MS = 1000;
/** Limit: idle connections kept for one target. */
const IDLE_PER_TARGET_MAX = 512;
/** Limit: idle connections kept in all. */
const IDLE_MAX = 4096;
/** Limit: targets whose TLS sessions are remembered. */
const TARGETS_MAX = 4096;

const ignored = (): void => {};

interface Target {
  readonly connect: Connect;
  /** The one used last is last. */
  readonly idle: Connection[];
  usedMs: number;
}

/** One connection to a backend, used by one request at a time. */
export class Connection {
  readonly client: Client;
  readonly origin: string;
  readonly filter = new InterimFilter();
  /** When it was given back; undefined while it has never been used. */
  idleSinceMs: number | undefined;
  /** The socket failed: a response that ends with it may be cut. */
  hasFailed = false;
  isGone = false;

  constructor(plan: RequestPlan, connect: Connect, http2: boolean) {
    const host = plan.host.includes(":") ? `[${plan.host}]` : plan.host;
    const shown = plan.socketPath === undefined ? `${host}:${plan.port}` : "localhost";
    this.origin = `${plan.secure ? "https" : "http"}://${shown}`;
    this.client = new Client(this.origin, {
      connect: (_options: buildConnector.Options, done: buildConnector.Callback) =>
        connect((error, socket) => {
          if (socket === null) done(error as Error, null);
          else done(null, this.#watched(socket));
        }),
      allowH2: http2,
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: IDLE_MS,
      maxHeaderSize: HEAD_MAX_BYTES,
    });
    this.client.on("disconnect", () => {
      this.isGone = true; // its errors reach the request
    });
  }

  get isUsable(): boolean {
    return !this.isGone && !this.client.destroyed && !this.client.closed;
  }

  destroy(): void {
    this.isGone = true;
    this.client.destroy(null, ignored);
  }

  #watched(socket: Socket): Socket {
    this.isGone = false;
    this.hasFailed = false;
    // First of all listeners: it must be known when the parser is told the end.
    socket.on("error", () => {
      this.hasFailed = true;
    });
    if ((socket as { alpnProtocol?: unknown }).alpnProtocol === "h2") return socket;
    const read = socket.read.bind(socket);
    socket.read = (bytes?: number): unknown => {
      const chunk = read(bytes) as Buffer | null;
      if (chunk === null) return null;
      const filtered = this.filter.take(chunk);
      if (typeof filtered !== "string") return filtered;
      if (filtered === "too-many") socket.destroy(new Error("interim responses without an end"));
      return null;
    };
    return socket;
  }
}

/**
 * Idle backend connections by target, the one used last first. undici's own pool scans all its
 * clients at each request, which thousands of held responses make slow.
 */
export class ClientPool {
  readonly #policy: AddressPolicy;
  readonly #http2: boolean;
  readonly #targets = new Map<string, Target>();
  #idleCount = 0;

  constructor(policy: AddressPolicy, http2: boolean) {
    this.#policy = policy;
    this.#http2 = http2;
  }

  get idleCount(): number {
    return this.#idleCount;
  }

  /** An idle connection, or one that is yet to be made. */
  take(plan: RequestPlan, packet: Packet, nowMs: number): Connection {
    const target = this.#target(plan, packet, nowMs);
    for (let one = target.idle.pop(); one !== undefined; one = target.idle.pop()) {
      this.#idleCount -= 1;
      if (one.isUsable) return one;
      one.destroy();
    }
    return new Connection(plan, target.connect, this.#http2);
  }

  /** Whether a request that fails on it unanswered may be sent again. */
  static mayHaveTimedOut(connection: Connection, nowMs: number): boolean {
    const { idleSinceMs } = connection;
    return idleSinceMs !== undefined && nowMs - idleSinceMs >= MAY_HAVE_TIMED_OUT_MS;
  }

  /** A connection that is yet to be made. */
  open(plan: RequestPlan, packet: Packet, nowMs: number): Connection {
    return new Connection(plan, this.#target(plan, packet, nowMs).connect, this.#http2);
  }

  /** Gives back a connection whose exchange is complete in both directions. */
  giveBack(plan: RequestPlan, connection: Connection, nowMs: number): void {
    const target = this.#targets.get(plan.target);
    if (
      target === undefined ||
      !connection.isUsable ||
      target.idle.length >= IDLE_PER_TARGET_MAX || // Limit: IDLE_PER_TARGET_MAX
      this.#idleCount >= IDLE_MAX // Limit: IDLE_MAX
    ) {
      connection.destroy();
      return;
    }
    connection.idleSinceMs = nowMs;
    target.usedMs = nowMs;
    target.idle.push(connection);
    this.#idleCount += 1;
  }

  /** Closes what nobody has used for long; call it every few seconds. */
  sweep(nowMs: number): void {
    for (const [key, target] of this.#targets) {
      const { idle } = target;
      let kept = 0;
      for (const one of idle) {
        if (one.isUsable && nowMs - (one.idleSinceMs as number) < IDLE_MS) {
          idle[kept] = one;
          kept += 1;
        } else one.destroy();
      }
      this.#idleCount -= idle.length - kept;
      idle.length = kept;
      if (kept === 0 && nowMs - target.usedMs >= IDLE_MS) this.#targets.delete(key);
    }
  }

  close(): void {
    for (const { idle } of this.#targets.values()) for (const one of idle) one.destroy();
    this.#targets.clear();
    this.#idleCount = 0;
  }

  #target(plan: RequestPlan, packet: Packet, nowMs: number): Target {
    let target = this.#targets.get(plan.target);
    if (target === undefined) {
      target = {
        connect: connectTo(plan, packet, this.#policy, this.#http2),
        idle: [],
        usedMs: nowMs,
      };
      // Limit: TARGETS_MAX; the connections of others are not kept.
      if (this.#targets.size < TARGETS_MAX) this.#targets.set(plan.target, target);
    }
    target.usedMs = nowMs;
    return target;
  }
}
