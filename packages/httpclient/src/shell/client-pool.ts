import { lookup as systemLookup } from "node:dns";
import type { BlockList, LookupFunction } from "node:net";
import type { Packet } from "@pushpin/zhttp";
import { buildConnector, Client } from "undici";
import { isAllowed } from "./address-policy.ts";
import type { RequestPlan } from "../core/request-plan.ts";

export const CONNECT_TIMEOUT_MS = 10_000;
/** A connection nobody used for this long is closed. */
const IDLE_MS = 55_000;
/**
 * A backend that closes a connection which was idle for at least this long may have done so before
 * the request reached it; one that was used a moment ago has seen the request.
 */
const MAY_HAVE_TIMED_OUT_MS = 1000;
/** Limit: idle connections kept for one origin. */
const IDLE_PER_ORIGIN_MAX = 512;

/** A name looked up under the address policy; all addresses denied is an error of its own. */
export function policyLookup(denied: BlockList): LookupFunction {
  return (hostname, options, done) => {
    systemLookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        done(error, "", 0);
        return;
      }
      const allowed = addresses.filter(({ address }) => isAllowed(address, denied));
      const [first] = allowed;
      if (first === undefined)
        done(Object.assign(new Error("address denied by policy"), { code: "EPOLICY" }), "", 0);
      else if (options.all)
        (done as unknown as (error: null, all: typeof allowed) => void)(null, allowed);
      else done(null, first.address, first.family);
    });
  };
}

/**
 * Idle backend connections by origin, the one used last first. undici's own pool scans all its
 * clients at each request, which thousands of held responses make slow.
 */
export class ClientPool {
  readonly #denied: BlockList;
  readonly #idle = new Map<string, { client: Client; sinceMs: number }[]>();
  readonly #timer: NodeJS.Timeout;

  constructor(denied: BlockList) {
    this.#denied = denied;
    this.#timer = setInterval(() => this.#sweep(), IDLE_MS / 4);
    this.#timer.unref();
  }

  /** `mayHaveTimedOut`: a request that fails on it unanswered may be sent again. */
  take(plan: RequestPlan, packet: Packet): { client: Client; mayHaveTimedOut: boolean } {
    const idle = this.#idle.get(plan.origin);
    for (let one = idle?.pop(); one !== undefined; one = idle?.pop()) {
      const { client, sinceMs } = one;
      if (client.destroyed || client.closed) continue;
      return { client, mayHaveTimedOut: performance.now() - sinceMs >= MAY_HAVE_TIMED_OUT_MS };
    }
    return { client: this.open(plan, packet), mayHaveTimedOut: false };
  }

  /** A client without any connection yet. */
  open(plan: RequestPlan, packet: Packet): Client {
    const connect = buildConnector({
      timeout: CONNECT_TIMEOUT_MS,
      autoSelectFamily: true,
      ...(packet.ignorePolicies ? {} : { lookup: policyLookup(this.#denied) }),
      ...(plan.secure
        ? { rejectUnauthorized: !packet.ignoreTlsErrors, servername: plan.servername }
        : {}),
      ...(packet.clientCert === "" ? {} : { cert: packet.clientCert, key: packet.clientKey }),
    });
    const host = plan.host.includes(":") ? `[${plan.host}]` : plan.host;
    const client = new Client(`${plan.secure ? "https" : "http"}://${host}:${plan.port}`, {
      connect: (options, done) =>
        connect(
          { ...options, servername: plan.secure ? plan.servername : "" } as buildConnector.Options,
          done,
        ),
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: IDLE_MS,
      maxHeaderSize: 65_536,
    });
    client.on("disconnect", () => {}); // errors reach the request
    return client;
  }

  /** Gives back a client whose exchange is complete in both directions. */
  giveBack(origin: string, client: Client, nowMs: number): void {
    let idle = this.#idle.get(origin);
    if (idle === undefined) {
      idle = [];
      this.#idle.set(origin, idle);
    }
    if (idle.length >= IDLE_PER_ORIGIN_MAX) void client.close();
    else idle.push({ client, sinceMs: nowMs });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    const all = [...this.#idle.values()].flat();
    this.#idle.clear();
    await Promise.all(all.map(({ client }) => client.destroy()));
  }

  #sweep(): void {
    const beforeMs = performance.now() - IDLE_MS;
    for (const [origin, idle] of this.#idle) {
      const kept = idle.filter(({ client, sinceMs }) => {
        if (sinceMs >= beforeMs && !client.destroyed) return true;
        void client.destroy();
        return false;
      });
      if (kept.length === 0) this.#idle.delete(origin);
      else this.#idle.set(origin, kept);
    }
  }
}
