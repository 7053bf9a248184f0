import { encodeByteString, encodeText, lengthPrefix, type TnetInput } from "@pushpin/tnetstrings";
import { CONTROL_ITEMS_MAX, type ControlItem, encodeControlPacket } from "@pushpin/zrpc";

/** How every encoded item of a template starts. */
const EMPTY_CID = "3:cid,0:,";

/** One item for many sessions: everything but the cid is encoded once. */
export class ItemTemplate {
  readonly #rest: string;

  constructor(item: Omit<ControlItem, "cid">) {
    const text = encodeItem({ ...item, cid: "" });
    this.#rest = text.slice(text.indexOf(EMPTY_CID) + EMPTY_CID.length);
  }

  encode(cid: string): string {
    const key = `3:cid,${encodeByteString(cid)}`;
    return `${lengthPrefix(key.length + this.#rest.length - 1)}${key}${this.#rest}`;
  }
}

/** Items for the proxies, collected into packets of up to 128. */
export class ControlOut {
  readonly #from: string;
  readonly #send: (to: string, frame: Buffer) => void;
  readonly #waiting = new Map<string, string[]>();

  constructor(from: string, send: (to: string, frame: Buffer) => void) {
    this.#from = from;
    this.#send = send;
  }

  add(to: string, item: ControlItem): void {
    this.addEncoded(to, encodeItem(item));
  }

  addEncoded(to: string, item: string): void {
    let items = this.#waiting.get(to);
    if (items === undefined) {
      items = [];
      this.#waiting.set(to, items);
    }
    items.push(item);
    if (items.length >= CONTROL_ITEMS_MAX) this.#flush(to, items); // Limit: CONTROL_ITEMS_MAX
  }

  /** Sends what was collected; called at the end of everything that comes in. */
  flush(): void {
    if (this.#waiting.size === 0) return;
    for (const [to, items] of this.#waiting) this.#flush(to, items);
  }

  #flush(to: string, items: string[]): void {
    this.#waiting.delete(to);
    const list = items.join("");
    const fields = `4:from,${encodeByteString(this.#from)}5:items,${lengthPrefix(list.length)}${list}]`;
    this.#send(to, Buffer.from(`${lengthPrefix(fields.length)}${fields}}`, "latin1"));
  }
}

function encodeItem(item: ControlItem): string {
  const packet = encodeControlPacket({ from: "", items: [item] }) as {
    items: TnetInput[];
  };
  return encodeText(packet.items[0] as TnetInput);
}
