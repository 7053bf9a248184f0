import { fail, ok, type Result, type Tnet, type TnetMap } from "@pushpin/tnetstrings";
import { appendChannel, type InstructDraft } from "./instruct-draft.ts";
import { parseJson } from "./json.ts";
import { parseKeepAliveObject } from "./keep-alive.ts";
import {
  decodeBase64,
  parseHeaderFields,
  parseTextMap,
  toContent,
  toInteger,
  toText,
} from "./scalars.ts";

/**
 * Reads `application/grip-instruct` on top of what the headers said (handler.md 2.6): mode and
 * timeout replace, channels and meta are added, headers and body of the backend are dropped.
 *
 * @returns an error text, or undefined.
 */
export function applyJsonInstruct(
  draft: InstructDraft,
  response: { readonly code: number; readonly body: InstructDraft["body"] },
): string | undefined {
  if (response.code !== 200)
    return "response code for application/grip-instruct content must be 200";
  const parsed = parseJson(response.body);
  if (!parsed.ok) return "failed to parse application/grip-instruct content as JSON";
  const document = parsed.value;
  if (!(document instanceof Map)) return "instruct must be an object";
  draft.headers = [];
  draft.body = ""; // a missing body is an empty one
  const hold = document.get("hold");
  if (hold !== undefined) {
    if (!(hold instanceof Map)) return "instruct contains 'hold' with wrong type";
    const error = applyHold(draft, hold);
    if (error !== undefined) return error;
  }
  const own = document.get("response");
  if (own === undefined) return undefined;
  if (!(own instanceof Map)) return ""; // Compat: the original gives no text here.
  return applyResponse(draft, own);
}

function applyHold(draft: InstructDraft, hold: TnetMap): string | undefined {
  const wrong = (key: string) => `hold contains '${key}' with wrong type`;
  const given = hold.get("mode");
  const mode = given === undefined ? "response" : toText(given);
  if (mode === undefined) return wrong("mode");
  if (mode !== "response" && mode !== "stream")
    return "hold 'mode' must be set to either 'response' or 'stream'";
  draft.hold = mode;
  const channels = hold.get("channels");
  if (channels === undefined) return "hold does not contain 'channels'";
  if (!Array.isArray(channels)) return wrong("channels");
  for (const one of channels) {
    const error = addChannel(draft, one);
    if (error !== undefined) return error;
  }
  const timeout = hold.get("timeout");
  if (timeout !== undefined) {
    const timeoutS = toInteger(timeout);
    if (timeoutS === undefined) return wrong("timeout");
    if (timeoutS < 0) return "hold contains 'timeout' with invalid value";
    draft.timeoutS = timeoutS;
  }
  const keepAlive = hold.get("keep-alive");
  if (keepAlive !== undefined) {
    if (!(keepAlive instanceof Map)) return wrong("keep-alive");
    const parsed = parseKeepAliveObject(keepAlive);
    if (!parsed.ok) return parsed.error;
    draft.keepAlive = parsed.value;
  }
  const meta = hold.get("meta");
  if (meta !== undefined) {
    const parsed = parseTextMap(meta, "meta");
    if (parsed === undefined) return wrong("meta");
    if (!parsed.ok) return parsed.error;
    for (const [key, value] of parsed.value) draft.meta.set(key, value);
  }
  return undefined;
}

function addChannel(draft: InstructDraft, value: Tnet): string | undefined {
  if (!(value instanceof Map)) return "channel is not an object";
  const given = value.get("name");
  if (given === undefined) return "channel does not contain 'name'";
  const name = toText(given);
  if (name === undefined) return "channel contains 'name' with wrong type";
  const givenPrevId = value.get("prev-id");
  const prevId = toText(givenPrevId);
  if (givenPrevId !== undefined && prevId === undefined)
    return "channel contains 'prev-id' with wrong type";
  const filters = parseFilters(value.get("filters"));
  if (!filters.ok) return filters.error;
  return appendChannel(draft.channels, {
    name,
    prevId,
    filters: filters.value,
  });
}

function parseFilters(value: Tnet | undefined): Result<string[]> {
  if (value === undefined) return ok([]);
  if (!Array.isArray(value)) return fail("channel contains 'filters' with wrong type");
  const filters: string[] = [];
  for (const one of value) {
    const text = toText(one);
    if (text === undefined) return fail("filters contains value with wrong type");
    filters.push(text);
  }
  return ok(filters);
}

function applyResponse(draft: InstructDraft, response: TnetMap): string | undefined {
  const wrong = (key: string) => `response contains '${key}' with wrong type`;
  const givenCode = response.get("code");
  if (givenCode !== undefined) {
    const code = toInteger(givenCode);
    if (code === undefined) return wrong("code");
    if (code < 0 || code > 999) return "response contains 'code' with invalid value";
    draft.code = code;
    draft.reason = "";
  }
  const givenReason = response.get("reason");
  if (givenReason !== undefined) {
    const reason = toText(givenReason);
    if (reason === undefined) return wrong("reason");
    draft.reason = reason;
  }
  const givenHeaders = response.get("headers");
  if (givenHeaders !== undefined) {
    const headers = parseHeaderFields(givenHeaders, "response");
    if (!headers.ok) return headers.error;
    draft.headers = headers.value;
  }
  const bin = response.get("body-bin");
  if (bin !== undefined) {
    const text = toText(bin);
    if (text === undefined) return wrong("body-bin");
    draft.body = decodeBase64(text);
    return undefined;
  }
  const givenBody = response.get("body");
  if (givenBody === undefined) return undefined;
  const body = toContent(givenBody);
  if (body === undefined) return wrong("body");
  draft.body = body;
  return undefined;
}
