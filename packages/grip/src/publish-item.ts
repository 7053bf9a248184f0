import { reasonPhrase } from "@pushpin/http";
import {
  type Bytes,
  decode,
  fail,
  fromUtf8,
  ok,
  type Result,
  type Tnet,
} from "@pushpin/tnetstrings";

export type Action = "send" | "hint" | "close" | "refresh";

export interface HttpResponseFormat {
  readonly action: Action;
  readonly code: number;
  readonly reason: string;
  readonly headers: string[];
  readonly body: Bytes;
}

export interface HttpStreamFormat {
  readonly action: Action;
  readonly content: Bytes;
}

/** One thing published to a channel (handler.md 7.1). */
export interface PublishItem {
  readonly channel: string;
  readonly id: string | undefined;
  readonly prevId: string | undefined;
  readonly noSeq: boolean;
  readonly httpResponse: HttpResponseFormat | undefined;
  readonly httpStream: HttpStreamFormat | undefined;
}

const FORMATS = ["http-response", "http-stream", "ws-message"] as const;
const ACTIONS: readonly Action[] = ["send", "hint", "close", "refresh"];
const ITEM = "publish item object";

/** Turns parsed JSON into the values a tnetstring would have given: texts as byte strings, objects as maps. */
export function fromJson(value: unknown): Tnet {
  if (typeof value === "string") return fromUtf8(value);
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value === "object" && value !== null)
    return new Map(Object.entries(value).map(([key, one]) => [fromUtf8(key), fromJson(one)]));
  if (typeof value === "number" || typeof value === "boolean") return value;
  return null;
}

/** Reads one item; the error is the text that goes back to the publisher. */
export function parseItem(value: Tnet, isJson: boolean, topic?: string): Result<PublishItem> {
  if (!(value instanceof Map)) return fail(`${ITEM} is not an object`);
  const channel = topic || value.get("channel");
  if (channel === undefined) return fail(`${ITEM} does not contain 'channel'`);
  if (typeof channel !== "string") return fail(`${ITEM} contains 'channel' with wrong type`);
  for (const key of ["id", "prev-id"] as const) {
    const text = value.get(key);
    if (text !== undefined && typeof text !== "string")
      return fail(`${ITEM} contains '${key}' with wrong type`);
  }
  const noSeq = value.get("no-seq") ?? false;
  if (typeof noSeq !== "boolean") return fail(`${ITEM} contains 'no-seq' with wrong type`);
  const given = value.get("formats");
  if (given !== undefined && !(given instanceof Map))
    return fail(`${ITEM} contains 'formats' with wrong type`);
  const formats =
    given ?? new Map([...value].filter(([key]) => (FORMATS as readonly string[]).includes(key)));
  if (formats.size === 0) return fail("no formats specified");
  const httpResponse = formats.has("http-response")
    ? parseHttpResponse(formats.get("http-response"), isJson)
    : ok(undefined);
  if (!httpResponse.ok) return httpResponse;
  const httpStream = formats.has("http-stream")
    ? parseHttpStream(formats.get("http-stream"), isJson)
    : ok(undefined);
  if (!httpStream.ok) return httpStream;
  return ok({
    channel,
    id: value.get("id") as string | undefined,
    prevId: value.get("prev-id") as string | undefined,
    noSeq,
    httpResponse: httpResponse.value,
    httpStream: httpStream.value,
  });
}

function parseAction(map: ReadonlyMap<string, Tnet>, name: string): Result<Action> {
  const value = map.get("action");
  if (value === undefined) return ok("send");
  if (typeof value !== "string") return fail(`'${name}' contains 'action' with wrong type`);
  const action = ACTIONS.find((one) => one === value);
  return action === undefined ? fail("") : ok(action);
}

/** A text field, or its base64 form where JSON has one. */
function parseContent(
  map: ReadonlyMap<string, Tnet>,
  name: string,
  key: string,
  isJson: boolean,
): Result<Bytes | undefined> {
  const bin = isJson ? map.get(`${key}-bin`) : undefined;
  if (bin !== undefined) {
    if (typeof bin !== "string") return fail(`'${name}' contains '${key}-bin' with wrong type`);
    return ok(Buffer.from(bin.replace(/[^A-Za-z0-9+/]/g, ""), "base64").toString("latin1"));
  }
  const text = map.get(key);
  if (text === undefined || typeof text === "string" || text instanceof Uint8Array) return ok(text);
  return fail(`'${name}' contains '${key}' with wrong type`);
}

function parseHttpStream(value: Tnet | undefined, isJson: boolean): Result<HttpStreamFormat> {
  if (!(value instanceof Map)) return fail("'http-stream' is not an object");
  const action = parseAction(value, "http-stream");
  if (!action.ok) return action;
  if (action.value !== "send") return ok({ action: action.value, content: "" });
  const content = parseContent(value, "http-stream", "content", isJson);
  if (!content.ok) return content;
  if (content.value === undefined)
    return fail(`'http-stream' does not contain 'content'${isJson ? " or 'content-bin'" : ""}`);
  return ok({ action: "send", content: content.value });
}

function parseHttpResponse(value: Tnet | undefined, isJson: boolean): Result<HttpResponseFormat> {
  if (!(value instanceof Map)) return fail("'http-response' is not an object");
  const action = parseAction(value, "http-response");
  if (!action.ok) return action;
  const empty = { action: action.value, code: 200, reason: "OK", headers: [], body: "" };
  if (action.value !== "send") return ok(empty);
  const code = toInteger(value.get("code") ?? 200);
  if (code === undefined) return fail("'http-response' contains 'code' with wrong type");
  if (code < 0 || code > 999) return fail("'http-response' contains 'code' with invalid value");
  const reason = value.get("reason") ?? reasonPhrase(code);
  if (typeof reason !== "string") return fail("'http-response' contains 'reason' with wrong type");
  const headers = parseHeaders(value.get("headers"));
  if (!headers.ok) return headers;
  const body = parseContent(value, "http-response", "body", isJson);
  if (!body.ok) return body;
  if (body.value === undefined)
    return fail(
      `'http-response' does not contain ${isJson ? "'body', 'body-bin', or 'body-patch'" : "'body' or 'body-patch'"}`,
    );
  return ok({ action: "send", code, reason, headers: headers.value, body: body.value });
}

function toInteger(value: Tnet): number | undefined {
  if (typeof value === "number") return Math.round(value);
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "string") return /^[+-]?\d{1,15}$/.test(value) ? Number(value) : 0;
  return undefined;
}

function parseHeaders(value: Tnet | undefined): Result<string[]> {
  if (value === undefined) return ok([]);
  const flat: string[] = [];
  if (Array.isArray(value)) {
    for (const pair of value) {
      if (!Array.isArray(pair)) return fail("headers contains element with wrong type");
      if (pair.length !== 2) return fail("headers contains list with wrong number of elements");
      if (typeof pair[0] !== "string") return fail("header contains name element with wrong type");
      if (typeof pair[1] !== "string") return fail("header contains value element with wrong type");
      flat.push(pair[0], pair[1]);
    }
    return ok(flat);
  }
  if (!(value instanceof Map)) return fail("'http-response' contains 'headers' with wrong type");
  for (const [name, text] of [...value].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (typeof text !== "string") return fail(`headers contains '${name}' with wrong type`);
    flat.push(name, text);
  }
  return ok(flat);
}

/** One message of the PULL or SUB socket: `T` tnetstring, `J` JSON, or a bare tnetstring. */
export function decodePublishMessage(frame: Uint8Array, topic?: string): Result<PublishItem> {
  if (frame[0] === 0x4a) {
    try {
      const value: unknown = JSON.parse(
        Buffer.from(frame.buffer, frame.byteOffset + 1, frame.byteLength - 1).toString("utf8"),
      );
      return parseItem(fromJson(value), true, topic);
    } catch {
      return fail("not valid JSON");
    }
  }
  const decoded = decode(frame[0] === 0x54 ? frame.subarray(1) : frame);
  return decoded.ok ? parseItem(decoded.value, false, topic) : decoded;
}
