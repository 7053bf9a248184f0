import { Packet } from "./packet.ts";
import { PEER_RESTARTED, type Session } from "./session.ts";

/** Limit: instance ids remembered as replaced; the oldest is forgotten. */
const REPLACED_MAX = 1024;

/**
 * Which processes have a successor. Instance ids of ours are `<role>-<slot>-<incarnation>`: one with
 * another incarnation takes the place of those before it, and what these still say does not count.
 */
export class Predecessors {
  readonly #current = new Map<string, string>();
  readonly #replaced = new Set<string>();

  /** A process with this id has started. False if it is one that was itself replaced. */
  announce(id: string): boolean {
    if (this.#replaced.has(id)) return false;
    const place = placeOf(id);
    const before = this.#current.get(place);
    if (before !== undefined && before !== id) this.#replace(before);
    this.#current.set(place, id);
    return true;
  }

  /**
   * Whether a session's peer has `successor` in its place; or, where nobody has answered yet, a peer
   * that may have had its first packet is gone since: those before `lostEpoch` may be lost.
   */
  isLost(session: Session, successor: string, lostEpoch: number): boolean {
    if (session.peer === "") return session.epoch < lostEpoch;
    return this.isReplacedBy(session.peer, successor);
  }

  /** Whether `successor` has the place that `id` had; one that was itself replaced has none. */
  isReplacedBy(id: string, successor: string): boolean {
    if (this.#replaced.has(successor)) return false;
    if (id === successor || placeOf(id) !== placeOf(successor)) return false;
    this.#replace(id);
    return true;
  }

  isReplaced(id: string): boolean {
    return this.#replaced.size > 0 && this.#replaced.has(id);
  }

  #replace(id: string): void {
    // Limit: REPLACED_MAX
    if (this.#replaced.size >= REPLACED_MAX) {
      const [oldest] = this.#replaced;
      if (oldest !== undefined) this.#replaced.delete(oldest);
    }
    this.#replaced.add(id);
  }
}

/** What the owner of a session is told in the name of a peer that is gone. */
export function peerRestarted(): Packet {
  const packet = new Packet();
  packet.type = "error";
  packet.condition = PEER_RESTARTED;
  return packet;
}

/** Whether `successor` has the role and slot of `id`, and is another. */
export function isSuccessor(successor: string, id: string): boolean {
  return successor !== id && placeOf(successor) === placeOf(id);
}

function placeOf(id: string): string {
  const end = id.lastIndexOf("-");
  return end < 0 ? id : id.slice(0, end);
}
