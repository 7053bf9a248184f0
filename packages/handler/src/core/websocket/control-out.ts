import { encodeByteString, encodeText, lengthPrefix } from "@pushpin/tnetstrings";
import { CONTROL_ITEMS_MAX, type ControlItem, encodeControlItem } from "@pushpin/zrpc";
import { ReplayLog } from "./replay-log.ts";

/** How every encoded item of a template starts. */
const EMPTY_CID = "3:cid,0:,";

/** One item for many sessions: everything but the cid is encoded once. */
export class ItemTemplate {
  readonly #rest: string;

  constructor(item: Omit<ControlItem, "cid">) {
    const text = encodeText(encodeControlItem({ ...item, cid: "" }));
    this.#rest = text.slice(text.indexOf(EMPTY_CID) + EMPTY_CID.length);
  }

  /** One member of `items` for all of `cids`. */
  encode(cids: readonly string[]): string {
    const [first = "", ...others] = cids;
    let keys = `3:cid,${encodeByteString(first)}`;
    if (others.length > 0) keys += `4:also,${encodeText(others)}`;
    return `${lengthPrefix(keys.length + this.#rest.length - 1)}${keys}${this.#rest}`;
  }
}

/** One item for several sessions of a proxy. */
interface Group {
  readonly template: ItemTemplate;
  readonly cids: string[];
}

/** What waits to be sent to one proxy. */
interface Waiting {
  readonly items: (string | Group)[];
  /** How many items these are to the receiver. */
  count: number;
}

/** Limit: proxies whose last packets are kept; the oldest is forgotten. */
const LOGS_MAX = 256;

/** Ages that a proxy's log outlives it, or the last session that was taken over from it: two minutes. */
const AGES_KEPT = 4;

/** How many packets a second a handler may send all its life, so that its successor's numbers are greater. */
const SEQ_PER_S = 16_000;

/**
 * Where a handler's numbers begin: connection managers know how far a proxy has got by the numbers of
 * the handler before it, until the proxy has passed on something of this one. `sinceBoot`: seconds and
 * nanoseconds by a clock that all processes of the machine share (`process.hrtime`).
 */
export function controlSeqBase([seconds, nanoseconds]: readonly [number, number]): number {
  return Math.floor((seconds + nanoseconds / 1e9) * SEQ_PER_S);
}

/** Items for the proxies, collected into packets of up to 128. */
export class ControlOut {
  readonly #from: string;
  readonly #send: (to: string, frame: Buffer) => void;
  readonly #waiting = new Map<string, Waiting>();
  /** Of proxies that can have a successor. */
  readonly #logs = new Map<string, ReplayLog>();
  /** Proxies that are gone, and how many times more `age` leaves them their logs. */
  readonly #gone = new Map<string, number>();
  /** Of packets to proxies that can have a successor. */
  #seq: number;

  /** `firstSeq`: greater than every number of the handler before this one (`controlSeqBase`). */
  constructor(from: string, firstSeq: number, send: (to: string, frame: Buffer) => void) {
    this.#from = from;
    this.#seq = firstSeq;
    this.#send = send;
  }

  /** What goes to this proxy may have to be sent again to the one that takes its place. */
  keepFor(proxy: string): void {
    if (this.#logs.has(proxy)) return;
    // Limit: LOGS_MAX
    if (this.#logs.size >= LOGS_MAX) {
      const [oldest] = this.#logs.keys();
      if (oldest !== undefined) this.#forget(oldest);
    }
    this.#logs.set(proxy, new ReplayLog());
  }

  /** It is one of ours. */
  isOurs(proxy: string): boolean {
    return this.#logs.has(proxy);
  }

  /** Sends to `successor` what `proxy` was given for a session after the item `mark`. */
  replay(cid: string, proxy: string, successor: string, mark: number): void {
    this.flush();
    const log = this.#logs.get(proxy);
    if (log === undefined) return;
    this.noteGone(proxy);
    for (const item of log.since(cid, mark)) this.add(successor, item);
  }

  /** Called every few seconds. */
  age(): void {
    for (const [proxy, log] of this.#logs) {
      const left = this.#gone.get(proxy);
      if (left === undefined) log.age();
      else if (left === 0) this.#forget(proxy);
      else this.#gone.set(proxy, left - 1);
    }
  }

  /** Nothing reaches this proxy any more: what is for its sessions waits for its successor. */
  noteGone(proxy: string): void {
    if (this.#logs.has(proxy)) this.#gone.set(proxy, AGES_KEPT);
  }

  #forget(proxy: string): void {
    this.#logs.delete(proxy);
    this.#gone.delete(proxy);
  }

  add(to: string, item: ControlItem): void {
    const waiting = this.#waitingFor(to);
    waiting.items.push(encodeText(encodeControlItem(item)));
    this.#added(to, waiting);
  }

  /** An item that others get too: those that come one after another travel as one. */
  addShared(to: string, template: ItemTemplate, cid: string): void {
    const waiting = this.#waitingFor(to);
    const { items } = waiting;
    const last = items[items.length - 1];
    if (typeof last === "object" && last.template === template) last.cids.push(cid);
    else items.push({ template, cids: [cid] });
    this.#added(to, waiting);
  }

  #waitingFor(to: string): Waiting {
    let waiting = this.#waiting.get(to);
    if (waiting === undefined) {
      waiting = { items: [], count: 0 };
      this.#waiting.set(to, waiting);
    }
    return waiting;
  }

  #added(to: string, waiting: Waiting): void {
    waiting.count += 1;
    if (waiting.count >= CONTROL_ITEMS_MAX) this.#flush(to, waiting); // Limit: CONTROL_ITEMS_MAX
  }

  /** Sends what was collected; called at the end of everything that comes in. */
  flush(): void {
    if (this.#waiting.size === 0) return;
    for (const [to, waiting] of this.#waiting) this.#flush(to, waiting);
  }

  #flush(to: string, { items }: Waiting): void {
    this.#waiting.delete(to);
    let list = "";
    for (const item of items)
      list += typeof item === "string" ? item : item.template.encode(item.cids);
    let fields = `4:from,${encodeByteString(this.#from)}5:items,${lengthPrefix(list.length)}${list}]`;
    const log = this.#logs.get(to);
    if (log === undefined) {
      this.#send(to, Buffer.from(`${lengthPrefix(fields.length)}${fields}}`, "latin1"));
      return;
    }
    this.#seq += 1;
    const seq = this.#seq;
    fields += `3:seq,${encodeText(seq)}`;
    const frame = Buffer.from(`${lengthPrefix(fields.length)}${fields}}`, "latin1");
    log.add(seq, frame);
    this.#send(to, frame);
  }
}
