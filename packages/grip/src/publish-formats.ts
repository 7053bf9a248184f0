import { reasonPhrase } from "@pushpin/http";
import { type Bytes, fail, ok, type Result, type Tnet, type TnetMap } from "@pushpin/tnetstrings";
import { type JsonValue, toJsonValue } from "./json.ts";
import { decodeBase64, parseHeaderFields, toContent, toInteger, toText } from "./scalars.ts";

export type Action = "send" | "hint" | "close" | "refresh";

export interface HttpResponseFormat {
  readonly action: Action;
  readonly code: number;
  readonly reason: string;
  /** Flat. */
  readonly headers: string[];
  readonly body: Bytes;
  /** Present: the body is made from the held one by this JSON Patch. */
  readonly bodyPatch: readonly JsonValue[] | undefined;
  /** Present: must name the subscription's content filters exactly. */
  readonly contentFilters: readonly string[] | undefined;
}

export interface HttpStreamFormat {
  readonly action: Action;
  readonly content: Bytes;
  readonly contentFilters: readonly string[] | undefined;
}

export type WsMessageType = "text" | "binary" | "ping" | "pong";

export interface WsMessageFormat {
  readonly action: Action;
  readonly type: WsMessageType;
  readonly content: Bytes;
  /** Of `close`; absent: 1000. */
  readonly code: number | undefined;
  readonly reason: string;
  readonly contentFilters: readonly string[] | undefined;
}

const ACTIONS: ReadonlySet<string> = new Set<Action>(["send", "hint", "close", "refresh"]);
const WS_TYPES: ReadonlySet<string> = new Set<WsMessageType>(["text", "binary", "ping", "pong"]);
const CLOSE_CODE_MAX = 65_535;

function wrong(format: string, key: string): { ok: false; error: string } {
  return { ok: false, error: `'${format}' contains '${key}' with wrong type` };
}

function parseAction(map: TnetMap, format: string): Result<Action> {
  const value = map.get("action");
  if (value === undefined) return ok("send");
  const action = toText(value);
  if (action === undefined) return wrong(format, "action");
  if (!ACTIONS.has(action)) return fail(`'${format}' contains 'action' with unknown value`);
  return ok(action as Action);
}

function parseContentFilters(map: TnetMap, format: string): Result<string[] | undefined> {
  const value = map.get("content-filters");
  if (value === undefined) return ok(undefined);
  if (!Array.isArray(value)) return wrong(format, "content-filters");
  const filters: string[] = [];
  for (const one of value) {
    const text = toText(one);
    if (text === undefined) return fail("content-filters contains element with wrong type");
    filters.push(text);
  }
  return ok(filters);
}

/** `<key>-bin`, which is base64 and only read in JSON, or `<key>`. */
function parseContent(
  map: TnetMap,
  format: string,
  key: string,
  isJson: boolean,
): Result<Bytes | undefined> {
  const bin = isJson ? map.get(`${key}-bin`) : undefined;
  if (bin !== undefined) {
    const text = toText(bin);
    return text === undefined ? wrong(format, `${key}-bin`) : ok(decodeBase64(text));
  }
  const value = map.get(key);
  if (value === undefined) return ok(undefined);
  const content = toContent(value);
  return content === undefined ? wrong(format, key) : ok(content);
}

export function parseHttpResponse(map: TnetMap, isJson: boolean): Result<HttpResponseFormat> {
  const format = "http-response";
  const action = parseAction(map, format);
  if (!action.ok) return action;
  const empty = { code: 200, reason: "OK", headers: [], body: "" };
  if (action.value !== "send")
    return ok({
      action: action.value,
      ...empty,
      bodyPatch: undefined,
      contentFilters: undefined,
    });
  const contentFilters = parseContentFilters(map, format);
  if (!contentFilters.ok) return contentFilters;
  const code = toInteger(map.get("code") ?? (map.has("code") ? null : 200));
  if (code === undefined) return wrong(format, "code");
  if (code < 0 || code > 999) return fail(`'${format}' contains 'code' with invalid value`);
  const reason = map.has("reason") ? toText(map.get("reason")) : reasonPhrase(code);
  if (reason === undefined) return wrong(format, "reason");
  const headers = map.has("headers")
    ? parseHeaderFields(map.get("headers") as Tnet, `'${format}'`)
    : ok([]);
  if (!headers.ok) return headers;
  const body = parseContent(map, format, "body", isJson);
  if (!body.ok) return body;
  let bodyPatch: readonly JsonValue[] | undefined;
  if (body.value === undefined) {
    const patch = map.get("body-patch");
    if (patch === undefined) {
      const wanted = isJson ? "'body', 'body-bin', or 'body-patch'" : "'body' or 'body-patch'";
      return fail(`'${format}' does not contain ${wanted}`);
    }
    if (!Array.isArray(patch)) return wrong(format, "body-patch");
    bodyPatch = patch.map(toJsonValue);
  }
  return ok({
    action: "send",
    code,
    reason: reason === "" ? reasonPhrase(code) : reason,
    headers: headers.value,
    body: body.value ?? "",
    bodyPatch,
    contentFilters: contentFilters.value,
  });
}

export function parseHttpStream(map: TnetMap, isJson: boolean): Result<HttpStreamFormat> {
  const format = "http-stream";
  const action = parseAction(map, format);
  if (!action.ok) return action;
  if (action.value !== "send")
    return ok({ action: action.value, content: "", contentFilters: undefined });
  const contentFilters = parseContentFilters(map, format);
  if (!contentFilters.ok) return contentFilters;
  const content = parseContent(map, format, "content", isJson);
  if (!content.ok) return content;
  if (content.value === undefined)
    return fail(`'${format}' does not contain 'content'${isJson ? " or 'content-bin'" : ""}`);
  return ok({
    action: "send",
    content: content.value,
    contentFilters: contentFilters.value,
  });
}

export function parseWsMessage(map: TnetMap, isJson: boolean): Result<WsMessageFormat> {
  const format = "ws-message";
  const action = parseAction(map, format);
  if (!action.ok) return action;
  if (action.value === "close") return parseWsClose(map);
  const empty = { content: "", code: undefined, reason: "" };
  if (action.value !== "send")
    return ok({
      action: action.value,
      type: "text",
      ...empty,
      contentFilters: undefined,
    });
  const contentFilters = parseContentFilters(map, format);
  if (!contentFilters.ok) return contentFilters;
  const type = map.has("type") ? toText(map.get("type")) : "";
  if (type === undefined) return wrong(format, "type");
  if (map.has("type") && !WS_TYPES.has(type))
    return fail(`'${format}' contains 'type' with unknown value`);
  // Unlike in the HTTP formats, binary content of a tnetstring is raw and has its own key.
  const bin = map.get("content-bin");
  const isBinary = bin !== undefined;
  const content = parseContent(
    map,
    format,
    isBinary && !isJson ? "content-bin" : "content",
    isJson,
  );
  if (!content.ok) return content;
  if (content.value === undefined && type !== "ping" && type !== "pong")
    return fail(`'${format}' does not contain 'content' or 'content-bin'`);
  const defaultType = isBinary ? "binary" : "text";
  return ok({
    action: "send",
    type: type === "" ? defaultType : (type as WsMessageType),
    content: content.value ?? "",
    code: undefined,
    reason: "",
    contentFilters: contentFilters.value,
  });
}

function parseWsClose(map: TnetMap): Result<WsMessageFormat> {
  const format = "ws-message";
  let code: number | undefined;
  if (map.has("code")) {
    code = toInteger(map.get("code") as Tnet);
    if (code === undefined) return wrong(format, "code");
    if (code < 0 || code > CLOSE_CODE_MAX)
      return fail(`'${format}' contains 'code' with invalid value`);
  }
  const reason = map.has("reason") ? toText(map.get("reason")) : "";
  if (reason === undefined) return wrong(format, "reason");
  return ok({
    action: "close",
    type: "text",
    content: "",
    code,
    reason,
    contentFilters: undefined,
  });
}
