import type { Packet, Session } from "@pushpin/zhttp";

/** Limit: sessions without a client that wait for their owner to show up; the oldest is forgotten. */
export const ORPHANS_MAX = 10_000;

/**
 * Sessions whose client left while nobody could be told: before the first answer, or during a
 * handoff. The owner hears of it when it sends the next packet (wire.md 4.5).
 */
export class Orphans {
  readonly #sessions = new Map<string, Session>();

  get size(): number {
    return this.#sessions.size;
  }

  add(session: Session): void {
    if (this.#sessions.size >= ORPHANS_MAX) {
      const [oldest] = this.#sessions.keys();
      if (oldest !== undefined) this.#sessions.delete(oldest);
    }
    this.#sessions.set(session.id, session);
  }

  /** The cancel to send to the owner, if the packet is for an orphan. */
  answer(id: string, packet: Packet, seq: number | undefined, nowMs: number): Packet | undefined {
    if (this.#sessions.size === 0) return undefined;
    const session = this.#sessions.get(id);
    if (session === undefined) return undefined;
    this.#sessions.delete(id);
    session.receive(packet, seq, nowMs);
    session.cancel();
    return session.takePacket();
  }

  expire(nowMs: number): void {
    for (const [id, session] of this.#sessions)
      if (session.expiresAtMs <= nowMs) this.#sessions.delete(id);
  }
}
