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
  #older: Sent[] = [];
  #newer: Sent[] = [];
  #newerBytes = 0;
  /** Items by session, from the moment somebody asks. */
  #items: Map<string, Numbered[]> | undefined;

  /** `seq` grows from packet to packet. */
  add(seq: number, frame: Buffer): void {
    if (this.#items !== undefined) {
      this.#index(this.#items, { seq, frame });
      return;
    }
    // Limit: REPLAY_MAX_BYTES
    if (this.#newerBytes > REPLAY_MAX_BYTES / 2) this.age();
    this.#newer.push({ seq, frame });
    this.#newerBytes += frame.length;
  }

  /** Called every few seconds: what was there at the last call too has arrived, or its proxy is known to be gone. */
  age(): void {
    this.#older = this.#newer;
    this.#newer = [];
    this.#newerBytes = 0;
  }

  /** What was sent for one session after the item `mark` (`itemNumber`). */
  since(cid: string, mark: number): readonly ControlItem[] {
    const found = this.#look().get(cid) ?? [];
    return found.filter((one) => one.number > mark).map((one) => one.item);
  }

  #look(): Map<string, Numbered[]> {
    if (this.#items !== undefined) return this.#items;
    const items = new Map<string, Numbered[]>();
    for (const sent of this.#older) this.#index(items, sent);
    for (const sent of this.#newer) this.#index(items, sent);
    this.#older = [];
    this.#newer = [];
    this.#items = items;
    return items;
  }

  #index(items: Map<string, Numbered[]>, { seq, frame }: Sent): void {
    const decoded = decode(frame);
    const packet = decoded.ok ? decodeControlPacket(decoded.value) : decoded;
    if (!packet.ok) return;
    for (const [index, item] of packet.value.items.entries()) {
      const numbered = { number: itemNumber(seq, index), item };
      const list = items.get(item.cid);
      if (list === undefined) items.set(item.cid, [numbered]);
      else list.push(numbered);
    }
  }
}
