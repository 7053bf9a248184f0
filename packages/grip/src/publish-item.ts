import {
  type Bytes,
  decode,
  detach,
  fail,
  ok,
  type Result,
  type Tnet,
  type TnetMap,
} from "@pushpin/tnetstrings";
import { parseJson } from "./json.ts";
import {
  type HttpResponseFormat,
  type HttpStreamFormat,
  parseHttpResponse,
  parseHttpStream,
  parseWsMessage,
  type WsMessageFormat,
} from "./publish-formats.ts";
import { parseTextMap, toInteger, toText } from "./scalars.ts";

/** One thing published to a channel (handler.md 7.1). Texts are byte strings. */
export interface PublishItem {
  readonly channel: string;
  readonly id: string | undefined;
  readonly prevId: string | undefined;
  readonly meta: ReadonlyMap<string, string>;
  /** For block accounting, in place of the content's size. */
  readonly size: number | undefined;
  /** Not ordered by `prevId`; repeated ids are dropped all the same. */
  readonly noSeq: boolean;
  readonly httpResponse: HttpResponseFormat | undefined;
  readonly httpStream: HttpStreamFormat | undefined;
  readonly wsMessage: WsMessageFormat | undefined;
  /** Ours: for this one connection, whatever it listens to; `channel` is empty then. */
  readonly connection?: string;
  /** Who wants to know what became of it. */
  readonly receipt?: Receipt;
}

/** What became of one item at its receivers. */
export class Receipt {
  receivers = 0;
  delivered = 0;
  filtered = 0;
  dropped = 0;
  /** It has been handed to all who listen; until then it waits for the one before it. */
  isTaken = false;

  settle(outcome: "delivered" | "filtered" | "dropped"): void {
    this[outcome] += 1;
  }

  get isSettled(): boolean {
    return this.isTaken && this.pending === 0;
  }

  /** Receivers that are not decided yet: rate limits, network filters. */
  get pending(): number {
    return this.receivers - this.delivered - this.filtered - this.dropped;
  }
}

/** Limit: channels one item may name. */
export const ITEM_CHANNELS_MAX = 1000;

const FORMATS = ["http-response", "http-stream", "ws-message"] as const;
const ITEM = "publish item object";
const NO_META: ReadonlyMap<string, string> = new Map();

/**
 * Reads one item; the error is the text that goes back to the publisher (handler.md 7.1, 7.2).
 *
 * @param isJson whether it came as JSON (`fromJson`), which spells binary content differently
 * @param topic channel of a SUB message; an empty one counts as absent
 */
export function parseItem(value: Tnet, isJson: boolean, topic?: string): Result<PublishItem> {
  if (!(value instanceof Map)) return fail(`${ITEM} is not an object`);
  const wrong = (key: string) => fail(`${ITEM} contains '${key}' with wrong type`);
  let channel = topic;
  const connection = toText(value.get("connection"));
  if (connection === undefined && value.has("connection")) return wrong("connection");
  if (connection !== undefined && topic === undefined) channel = "";
  else if (channel === undefined || channel === "") {
    if (!value.has("channel")) return fail(`${ITEM} does not contain 'channel'`);
    channel = toText(value.get("channel"));
    if (channel === undefined) return wrong("channel");
  }
  const id = toText(value.get("id"));
  if (id === undefined && value.has("id")) return wrong("id");
  const prevId = toText(value.get("prev-id"));
  if (prevId === undefined && value.has("prev-id")) return wrong("prev-id");
  const formats = parseFormats(value, isJson);
  if (!formats.ok) return formats;
  let meta = NO_META;
  if (value.has("meta")) {
    const parsed = parseTextMap(value.get("meta") as Tnet, "meta");
    if (parsed === undefined) return wrong("meta");
    if (!parsed.ok) return parsed;
    meta = parsed.value;
  }
  let size: number | undefined;
  if (value.has("size")) {
    size = toInteger(value.get("size") as Tnet);
    if (size === undefined) return wrong("size");
    if (size < 0) return fail(`${ITEM} contains 'size' with invalid value`);
  }
  const noSeq = value.get("no-seq") ?? false;
  if (typeof noSeq !== "boolean" || value.get("no-seq") === null) return wrong("no-seq");
  return ok({
    // Ids and names outlive the frame they were cut from.
    channel: detach(channel),
    id: id === undefined ? undefined : detach(id),
    prevId: prevId === undefined ? undefined : detach(prevId),
    meta,
    size,
    noSeq,
    ...formats.value,
    ...(connection === undefined || topic !== undefined
      ? {}
      : { connection: detach(connection) }),
  });
}

/** The same, where one item may name several `channels`. */
function parseItems(value: Tnet, isJson: boolean, topic?: string): Result<PublishItem[]> {
  const channels =
    value instanceof Map && topic === undefined && !value.has("channel") && !value.has("connection")
      ? value.get("channels")
      : undefined;
  if (channels === undefined) {
    const item = parseItem(value, isJson, topic);
    return item.ok ? ok([item.value]) : item;
  }
  const names = Array.isArray(channels) ? channels.map(toText) : [];
  // Limit: ITEM_CHANNELS_MAX
  if (names.length === 0 || names.length > ITEM_CHANNELS_MAX || names.includes(undefined))
    return fail(`${ITEM} contains 'channels' with wrong type`);
  const first = parseItem(value, isJson, names[0] as string);
  if (!first.ok) return first;
  return ok(names.map((name) => ({ ...first.value, channel: detach(name as string) })));
}

type Formats = Pick<PublishItem, "httpResponse" | "httpStream" | "wsMessage">;

function parseFormats(item: TnetMap, isJson: boolean): Result<Formats> {
  const given = item.get("formats");
  if (given !== undefined && !(given instanceof Map))
    return fail(`${ITEM} contains 'formats' with wrong type`);
  const formats = given ?? item;
  if (given === undefined ? !FORMATS.some((one) => item.has(one)) : given.size === 0)
    return fail("no formats specified");
  const httpResponse = optional(formats, "http-response", isJson, parseHttpResponse);
  if (!httpResponse.ok) return httpResponse;
  const httpStream = optional(formats, "http-stream", isJson, parseHttpStream);
  if (!httpStream.ok) return httpStream;
  const wsMessage = optional(formats, "ws-message", isJson, parseWsMessage);
  if (!wsMessage.ok) return wsMessage;
  return ok({
    httpResponse: httpResponse.value,
    httpStream: httpStream.value,
    wsMessage: wsMessage.value,
  });
}

function optional<T>(
  formats: TnetMap,
  name: string,
  isJson: boolean,
  parse: (map: TnetMap, isJson: boolean) => Result<T>,
): Result<T | undefined> {
  const value = formats.get(name);
  if (value === undefined) return ok(undefined);
  return value instanceof Map ? parse(value, isJson) : fail(`'${name}' is not an object`);
}

/** One message of the PULL or SUB socket: `T` tnetstring, `J` JSON, or a bare tnetstring. */
export function decodePublishMessage(frame: Uint8Array, topic?: string): Result<PublishItem[]> {
  if (frame[0] === 0x4a) {
    const json = parseJson(frame.subarray(1));
    return json.ok ? parseItems(json.value, true, topic) : json;
  }
  const decoded = decode(frame[0] === 0x54 ? frame.subarray(1) : frame);
  return decoded.ok ? parseItems(decoded.value, false, topic) : decoded;
}

/**
 * The items of `{items: [...]}`. One bad item refuses all. Errors are complete sentences for the
 * publisher, without a line break.
 */
export function parseItemList(value: Tnet, isJson: boolean): Result<PublishItem[]> {
  if (!(value instanceof Map)) return fail("Invalid format.");
  const list = value.get("items");
  if (list === undefined) return fail("Invalid format: object does not contain 'items'");
  if (!Array.isArray(list)) return fail("Invalid format: object contains 'items' with wrong type");
  const items: PublishItem[] = [];
  for (const one of list) {
    const parsed = parseItems(one, isJson);
    if (!parsed.ok) return fail(`Invalid format: ${parsed.error}`);
    items.push(...parsed.value);
  }
  return ok(items);
}

/** Body of `POST /publish/` on the control port. */
export function parsePublishBody(body: Bytes): Result<PublishItem[]> {
  const json = parseJson(body);
  return json.ok ? parseItemList(json.value, true) : fail("Body is not valid JSON.");
}
