import type { Packet } from "@pushpin/zhttp";
import type { RequestPlan } from "../core/request-plan.ts";
import type { AddressPolicy } from "./address-policy.ts";
import { type Connection, Http1Connection, IDLE_MS } from "./connection.ts";
import { type Connect, connectTo } from "./connector.ts";
import { NegotiatedConnection, Negotiation } from "./negotiation.ts";

/** Limit: idle connections kept for one target. */
const IDLE_PER_TARGET_MAX = 512;
/** Limit: idle connections kept in all. */
const IDLE_MAX = 4096;
/** Limit: targets whose TLS sessions are remembered. */
const TARGETS_MAX = 4096;

export interface PoolOptions {
  readonly policy: AddressPolicy;
  readonly http2: boolean;
  /** Name lookup, connection and TLS handshake together. */
  readonly connectTimeoutMs: number;
}

interface Target {
  readonly connect: Connect;
  /** The one used last is last. */
  readonly idle: Http1Connection[];
  /** Where it may turn out that the backend speaks HTTP/2. */
  readonly negotiation: Negotiation | undefined;
  usedMs: number;
}

/**
 * Idle backend connections by target, the one used last first. undici's own pool scans all its
 * clients at each request, which thousands of held responses make slow.
 */
export class ClientPool {
  readonly #options: PoolOptions;
  readonly #targets = new Map<string, Target>();
  #idleCount = 0;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get idleCount(): number {
    return this.#idleCount;
  }

  /** An idle connection, or one that is yet to be made. */
  take(plan: RequestPlan, packet: Packet, nowMs: number): Connection {
    const target = this.#target(plan, packet, nowMs);
    if (target.negotiation?.mayBeHttp2) return target.negotiation.take(nowMs);
    for (let one = target.idle.pop(); one !== undefined; one = target.idle.pop()) {
      this.#idleCount -= 1;
      if (one.isUsable) return one;
      one.destroy();
    }
    return new Http1Connection(plan, target.connect);
  }

  /** One that nobody has used, or that is shared by many requests. */
  open(plan: RequestPlan, packet: Packet, nowMs: number): Connection {
    const target = this.#target(plan, packet, nowMs);
    if (target.negotiation?.mayBeHttp2) return target.negotiation.take(nowMs);
    return new Http1Connection(plan, target.connect);
  }

  /** The backend of this plan takes requests over HTTP/1.1 only. */
  avoidHttp2(plan: RequestPlan): void {
    this.#targets.get(plan.target)?.negotiation?.avoid();
  }

  /** Gives back a connection whose exchange is complete in both directions. */
  giveBack(plan: RequestPlan, given: Connection, nowMs: number): void {
    const connection = given instanceof NegotiatedConnection ? given.http1 : given;
    if (!(connection instanceof Http1Connection)) return;
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
      target.negotiation?.sweep(nowMs);
      const isUsed = kept > 0 || target.negotiation?.isUsed === true;
      if (!isUsed && nowMs - target.usedMs >= IDLE_MS) this.#targets.delete(key);
    }
  }

  close(): void {
    for (const { idle, negotiation } of this.#targets.values()) {
      for (const one of idle) one.destroy();
      negotiation?.close();
    }
    this.#targets.clear();
    this.#idleCount = 0;
  }

  #target(plan: RequestPlan, packet: Packet, nowMs: number): Target {
    let target = this.#targets.get(plan.target);
    if (target === undefined) {
      const { http2, policy, connectTimeoutMs } = this.#options;
      const to = (offersHttp2: boolean): Connect =>
        connectTo(plan, packet, { policy, http2: offersHttp2, timeoutMs: connectTimeoutMs });
      // Limit: TARGETS_MAX; the connections of others are not kept, so nothing is shared on them.
      const isKept = this.#targets.size < TARGETS_MAX;
      const connect = to(false);
      target = {
        connect,
        idle: [],
        negotiation:
          http2 && plan.secure && isKept ? new Negotiation(plan, to(true), connect) : undefined,
        usedMs: nowMs,
      };
      if (isKept) this.#targets.set(plan.target, target);
    }
    target.usedMs = nowMs;
    return target;
  }
}
