import {
  type Bytes,
  Fields,
  fail,
  ok,
  type Result,
  type Tnet,
  type TnetInput,
} from "@pushpin/tnetstrings";

export const CONTROL_TYPES = [
  "here",
  "keep-alive",
  "gone",
  "grip",
  "need-keep-alive",
  "subscribe",
  "ack",
  "cancel",
  "send",
  "keep-alive-setup",
  "refresh",
  "close",
  "detach",
  // Ours only (docs/wire/takeover.md):
  "anchor",
  "sync",
] as const;
export type ControlType = (typeof CONTROL_TYPES)[number];

/** One item of a ws-control packet (wire.md 5.5). Absent fields are undefined. */
export interface ControlItem {
  readonly cid: string;
  readonly type: ControlType;
  readonly reqId?: string | undefined;
  readonly uri?: string | undefined;
  readonly route?: string | undefined;
  readonly channelPrefix?: string | undefined;
  readonly separateStats?: boolean | undefined;
  readonly debug?: boolean | undefined;
  readonly trusted?: boolean | undefined;
  readonly logLevel?: number | undefined;
  readonly ttl?: number | undefined;
  readonly message?: Bytes | undefined;
  readonly contentType?: string | undefined;
  readonly queue?: boolean | undefined;
  readonly code?: number | undefined;
  readonly reason?: string | undefined;
  readonly channel?: string | undefined;
  readonly timeout?: number | undefined;
  readonly keepAliveMode?: string | undefined;
  /** `anchor`, `here`: what a successor of the handler needs. Ours only. */
  readonly anchor?: string | undefined;
  /** `here`: the proxy keeps anchors. Ours only. */
  readonly anchors?: boolean | undefined;
  /**
   * `here`: by former proxy, the number of the handler's last item that is known to have reached the
   * client: `proxy-0-a 415,proxy-0-b 3`. Ours only.
   */
  readonly marks?: string | undefined;
}

export interface ControlPacket {
  readonly from: string;
  /** Counts what a handler sends to one proxy. Ours only. */
  readonly seq?: number | undefined;
  readonly items: readonly ControlItem[];
}

/** Limit: items of one packet, as the original sends them at most. */
export const CONTROL_ITEMS_MAX = 128;

/** Numbers the items of one sender's packets: later ones are greater. */
export function itemNumber(seq: number, index: number): number {
  return seq * CONTROL_ITEMS_MAX + index;
}

export function encodeControlPacket(packet: ControlPacket): TnetInput {
  return { from: packet.from, seq: packet.seq, items: packet.items.map(encodeControlItem) };
}

/** One member of `items`. */
export function encodeControlItem(item: ControlItem): TnetInput {
  return {
    cid: item.cid,
    type: item.type,
    "req-id": item.reqId,
    uri: item.uri,
    route: item.route,
    "channel-prefix": item.channelPrefix,
    "separate-stats": item.separateStats || undefined,
    debug: item.debug || undefined,
    trusted: item.trusted || undefined,
    "log-level": item.logLevel,
    ttl: item.ttl,
    message: item.message,
    "content-type": item.contentType,
    queue: item.queue || undefined,
    code: item.code,
    reason: item.reason,
    channel: item.channel,
    timeout: item.timeout,
    "keep-alive-mode": item.keepAliveMode,
    anchor: item.anchor,
    anchors: item.anchors || undefined,
    marks: item.marks,
  };
}

/** One bad item spoils its packet, as with the original. An item for several sessions becomes several. */
export function decodeControlPacket(value: Tnet): Result<ControlPacket> {
  if (!(value instanceof Map)) return fail("ws-control packet is not a map");
  const fields = new Fields(value, "ws-control");
  const from = fields.text("from") ?? "";
  const items: ControlItem[] = [];
  for (const [i, one] of (fields.list("items") ?? []).entries()) {
    if (!(one instanceof Map)) return fail(`ws-control.items[${i}]: expected a map`);
    const f = new Fields(one, `ws-control.items[${i}]`);
    const type = CONTROL_TYPES.find((known) => known === f.text("type"));
    if (type === undefined) return fail(`ws-control.items[${i}].type: unknown`);
    const item: ControlItem = {
      cid: f.requiredText("cid"),
      type,
      reqId: f.text("req-id"),
      uri: f.text("uri"),
      route: f.text("route"),
      channelPrefix: f.text("channel-prefix"),
      separateStats: f.boolean("separate-stats"),
      debug: f.boolean("debug"),
      trusted: f.boolean("trusted"),
      logLevel: f.integer("log-level"),
      ttl: f.integer("ttl"),
      message: f.bytes("message"),
      contentType: f.text("content-type"),
      queue: f.boolean("queue"),
      code: f.integer("code"),
      reason: f.text("reason"),
      channel: f.text("channel"),
      timeout: f.integer("timeout"),
      keepAliveMode: f.text("keep-alive-mode"),
      anchor: f.text("anchor"),
      anchors: f.boolean("anchors"),
      marks: f.text("marks"),
    };
    items.push(item);
    // Ours only (docs/wire/batches.md): the same item for further sessions.
    const also = f.list("also") ?? [];
    // Limit: CONTROL_ITEMS_MAX
    if (also.length >= CONTROL_ITEMS_MAX) return fail(`ws-control.items[${i}].also: too many`);
    for (const cid of also) {
      if (typeof cid !== "string") return fail(`ws-control.items[${i}].also: expected bytes`);
      items.push({ ...item, cid });
    }
    if (f.error !== undefined) return fail(f.error);
  }
  const seq = fields.integer("seq");
  return fields.error === undefined ? ok({ from, seq, items }) : fail(fields.error);
}
