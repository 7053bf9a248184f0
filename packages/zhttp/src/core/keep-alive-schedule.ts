import { ID_LIST_MAX, Packet } from "./packet.ts";
import type { Role, Session } from "./session.ts";

/** Every session is refreshed once in this many seconds. */
export const KEEP_ALIVE_CYCLE_S = 45;

export interface Addressed {
  readonly to: string;
  readonly viaRouter: boolean;
  /** Which end of their sessions we are. */
  readonly role: Role;
  readonly packet: Packet;
}

export interface KeepAliveTick<S> {
  readonly packets: Addressed[];
  /** Sessions whose peer has been silent for too long; they are out of the schedule and forgotten. */
  readonly expired: S[];
}

/** Whoever can be scheduled: the owner's record of a session. */
export interface Scheduled {
  readonly session: Session;
  /** Bucket and place in it; owned by the schedule. */
  keepAliveSlot?: number | undefined;
}

/**
 * Keep-alives for all sessions of a process: 45 buckets, one worked off each second, many sessions
 * in one packet (wire.md 4.4). Call `tick` once a second.
 */
export class KeepAliveSchedule<S extends Scheduled> {
  readonly #buckets: Set<S>[] = Array.from({ length: KEEP_ALIVE_CYCLE_S }, () => new Set());
  #current = 0;
  #next = 0;

  add(scheduled: S): void {
    const slot = this.#next;
    this.#next = (this.#next + 1) % KEEP_ALIVE_CYCLE_S;
    scheduled.keepAliveSlot = slot;
    this.#buckets[slot]?.add(scheduled);
  }

  remove(scheduled: S): void {
    if (scheduled.keepAliveSlot === undefined) return;
    this.#buckets[scheduled.keepAliveSlot]?.delete(scheduled);
    scheduled.keepAliveSlot = undefined; // not `delete`, which would make the owner a slow object
  }

  get size(): number {
    return this.#buckets.reduce((sum, bucket) => sum + bucket.size, 0);
  }

  tick(nowMs: number): KeepAliveTick<S> {
    const expired: S[] = [];
    // Expiry is looked at in every bucket every few seconds: silence of 60 s ends a session within 65.
    const sweep = this.#current % EXPIRY_SWEEP_S;
    for (let i = sweep; i < KEEP_ALIVE_CYCLE_S; i += EXPIRY_SWEEP_S) {
      for (const one of this.#buckets[i] as Set<S>) {
        if (!one.session.ended && !one.session.isExpired(nowMs)) continue;
        this.remove(one);
        if (one.session.ended) continue;
        one.session.forget();
        expired.push(one);
      }
    }
    const packets = this.#refresh(this.#buckets[this.#current] as Set<S>);
    this.#current = (this.#current + 1) % KEEP_ALIVE_CYCLE_S;
    return { packets, expired };
  }

  #refresh(bucket: ReadonlySet<S>): Addressed[] {
    const packets: Addressed[] = [];
    const lists = new Map<string, Addressed>();
    for (const { session } of bucket) {
      if (!session.maySend) continue;
      // An initiator writes to the stream ROUTER anyway; a responder only if it was offered.
      const viaRouter = session.role === "initiator" || session.routerResp;
      if (!session.multi) {
        packets.push({
          to: session.peer,
          viaRouter,
          role: session.role,
          packet: keepAlive(session, false),
        });
        continue;
      }
      const key = `${session.role}${viaRouter ? "r" : "p"}${session.peer}`;
      const list = lists.get(key);
      if (list?.packet.ids !== undefined && list.packet.ids.length < ID_LIST_MAX) {
        list.packet.ids.push({ id: session.id, seq: session.nextOutSeq() });
        continue;
      }
      const fresh = {
        to: session.peer,
        viaRouter,
        role: session.role,
        packet: keepAlive(session, true),
      };
      lists.set(key, fresh);
      packets.push(fresh);
    }
    return packets;
  }
}

/** Every bucket is looked at for expired sessions this often. */
const EXPIRY_SWEEP_S = 5;

function keepAlive(session: Session, asList: boolean): Packet {
  const packet = new Packet();
  packet.type = "keep-alive";
  packet.from = session.from;
  packet.multi = true;
  if (asList) packet.ids = [{ id: session.id, seq: session.nextOutSeq() }];
  else {
    packet.id = session.id;
    packet.seq = session.nextOutSeq();
  }
  return packet;
}
