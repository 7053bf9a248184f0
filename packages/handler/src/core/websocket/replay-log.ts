import { decode } from "@pushpin/tnetstrings";
import { type ControlItem, decodeControlPacket, itemNumber } from "@pushpin/zrpc";

/** Limit: bytes of packets kept for the case that their proxy dies; the oldest are forgotten. */
export const REPLAY_MAX_BYTES = 16 * 1024 * 1024;

interface Sent {
  readonly seq: number;
  readonly frame: Buffer;
}

interface Numbered {
  readonly number: number;
  readonly item: ControlItem;
}

/**
 * The last packets that went to one proxy. When it dies, its successor knows by the connection
 * managers which of them reached the clients; the others are sent again.
 */
export class ReplayLog {
  #seq = 0;
  #older: Sent[] = [];
  #newer: Sent[] = [];
  #newerBytes = 0;
  /** Items by session, as far as the packets have been looked into. */
  #items: Map<string, Numbered[]> | undefined;
  #looked = 0;

  /** Number of the next packet. */
  next(): number {
    this.#seq += 1;
    return this.#seq;
  }

  add(seq: number, frame: Buffer): void {
    // Limit: REPLAY_MAX_BYTES
    if (this.#newerBytes > REPLAY_MAX_BYTES / 2) this.age();
    this.#newer.push({ seq, frame });
    this.#newerBytes += frame.length;
  }

  /** Called every few seconds: what was there at the last call too has arrived, or its proxy is known to be gone. */
  age(): void {
    if (this.#items !== undefined) return; // somebody is asking
    this.#older = this.#newer;
    this.#newer = [];
    this.#newerBytes = 0;
  }

  /** What was sent for one session after the item `mark` (`itemNumber`). */
  since(cid: string, mark: number): readonly ControlItem[] {
    const items = this.#look();
    const found = items.get(cid) ?? [];
    return found.filter((one) => one.number > mark).map((one) => one.item);
  }

  #look(): Map<string, Numbered[]> {
    this.#items ??= new Map();
    const all = [...this.#older, ...this.#newer];
    for (const { seq, frame } of all.slice(this.#looked)) {
      const decoded = decode(frame);
      const packet = decoded.ok ? decodeControlPacket(decoded.value) : decoded;
      if (!packet.ok) continue;
      for (const [index, item] of packet.value.items.entries()) {
        const numbered = { number: itemNumber(seq, index), item };
        const list = this.#items.get(item.cid);
        if (list === undefined) this.#items.set(item.cid, [numbered]);
        else list.push(numbered);
      }
    }
    this.#looked = all.length;
    return this.#items;
  }
}
