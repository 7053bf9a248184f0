import { ID_LIST_MAX, Packet } from "./packet.ts";
import { type Role, SESSION_EXPIRE_MS, type Session } from "./session.ts";

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
  /** Place in a bucket times the number of buckets, plus which bucket; owned by the schedule. */
  keepAliveSlot?: number | undefined;
}

/**
 * Keep-alives for all sessions of a process: 45 buckets, one worked off each second, many sessions
 * in one packet (wire.md 4.4). Call `tick` once a second.
 */
export class KeepAliveSchedule<S extends Scheduled> {
  readonly #buckets: S[][] = Array.from({ length: KEEP_ALIVE_CYCLE_S }, () => []);
  /** No session of the bucket can have expired before: expiry only moves on, and a new one has it all ahead. */
  readonly #nextLooks: number[] = Array.from({ length: KEEP_ALIVE_CYCLE_S }, () => 0);
  #current = 0;
  #next = 0;

  add(scheduled: S): void {
    const number = this.#next;
    this.#next = (number + 1) % KEEP_ALIVE_CYCLE_S;
    const bucket = this.#buckets[number] as S[];
    scheduled.keepAliveSlot = bucket.length * KEEP_ALIVE_CYCLE_S + number;
    bucket.push(scheduled);
  }

  remove(scheduled: S): void {
    const slot = scheduled.keepAliveSlot;
    if (slot === undefined) return;
    scheduled.keepAliveSlot = undefined; // not `delete`, which would make the owner a slow object
    // The last one takes the place. A set that every request passes through makes garbage that lasts.
    const number = slot % KEEP_ALIVE_CYCLE_S;
    const bucket = this.#buckets[number] as S[];
    const last = bucket.pop() as S;
    if (last === scheduled) return;
    bucket[(slot - number) / KEEP_ALIVE_CYCLE_S] = last;
    last.keepAliveSlot = slot;
  }

  get size(): number {
    return this.#buckets.reduce((sum, bucket) => sum + bucket.length, 0);
  }

  tick(nowMs: number): KeepAliveTick<S> {
    const expired: S[] = [];
    // Expiry is looked at every few seconds, where it can be: silence of 60 s ends a session within 65.
    const sweep = this.#current % EXPIRY_SWEEP_S;
    for (let i = sweep; i < KEEP_ALIVE_CYCLE_S; i += EXPIRY_SWEEP_S)
      if (nowMs >= (this.#nextLooks[i] as number)) this.#look(i, nowMs, expired);
    const packets = this.#refresh(this.#buckets[this.#current] as S[]);
    this.#current = (this.#current + 1) % KEEP_ALIVE_CYCLE_S;
    return { packets, expired };
  }

  /** Takes out of a bucket whoever has expired, and notes when the next one can. */
  #look(number: number, nowMs: number, expired: S[]): void {
    const bucket = this.#buckets[number] as S[];
    let nextMs = nowMs + SESSION_EXPIRE_MS;
    // From the end, because whoever goes is replaced by the last one.
    for (let at = bucket.length - 1; at >= 0; at -= 1) {
      const one = bucket[at] as S;
      const { session } = one;
      if (!session.ended && !session.isExpired(nowMs)) {
        if (session.expiresAtMs < nextMs) nextMs = session.expiresAtMs;
        continue;
      }
      this.remove(one);
      if (session.ended) continue;
      session.forget();
      expired.push(one);
    }
    this.#nextLooks[number] = nextMs;
  }

  #refresh(bucket: readonly S[]): Addressed[] {
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
