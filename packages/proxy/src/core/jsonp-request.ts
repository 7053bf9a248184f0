import { parseJson } from "@pushpin/grip";
import { filterHeaders, getHeader } from "@pushpin/http";
import { type Bytes, fail, ok, type Result } from "@pushpin/tnetstrings";
import type { JsonpCallback } from "./relay/client-request.ts";
import { splitUri } from "./relay/request-transform.ts";
import type { JsonpSettings } from "./routes/route-table.ts";

export interface JsonpRequest {
  readonly method: string;
  readonly uri: string;
  readonly headers: string[];
  /** Undefined: the request's own. */
  readonly body: Bytes | undefined;
  readonly jsonp: JsonpCallback;
}

/** Plain member expressions only: anything else could be script of the attacker's choice. */
const CALLBACK = /^[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*|\[\d+\])*$/;

interface QueryItem {
  readonly raw: string;
  readonly name: string;
  /** Undefined: not decodable. */
  readonly value: string | undefined;
}

/**
 * The request that a JSON-P query stands for (proxy.md 4.2); undefined if it is none. A failure is
 * the text of the 400.
 */
export function readJsonpRequest(
  method: string,
  uri: string,
  headers: readonly string[],
  settings: JsonpSettings,
): Result<JsonpRequest | undefined> {
  if (method !== "GET") return ok(undefined);
  const query = uri.indexOf("?");
  if (query < 0) return ok(undefined);
  const items = uri
    .slice(query + 1)
    .split("&")
    .map(readItem);
  const find = (name: string) =>
    name === "" ? undefined : items.find((one) => one.name === name);
  const given = find(settings.callbackParameter);
  const usesBodyParameter = settings.bodyParameter !== "";
  const bodyItem = find(usesBodyParameter ? settings.bodyParameter : "_body");
  const isByBody = settings.defaultCallback !== "" && usesBodyParameter && bodyItem !== undefined;
  if (given === undefined && !isByBody) return ok(undefined);
  const callback = given === undefined ? settings.defaultCallback : given.value;
  if (callback === undefined || !CALLBACK.test(callback))
    return fail("Invalid callback parameter.");
  const methodItem = find("_method");
  const newMethod = methodItem === undefined ? settings.defaultMethod : methodItem.value;
  if (newMethod === undefined || !/^[\x21-\x7e]+$/.test(newMethod))
    return fail("Invalid _method parameter.");
  const headersItem = find("_headers");
  const own = headersItem === undefined ? [] : readHeaders(headersItem.value);
  if (own === undefined) return fail("Invalid _headers parameter.");
  if (bodyItem !== undefined && bodyItem.value === undefined)
    return fail(`Invalid ${usesBodyParameter ? "body" : "_body"} parameter.`);
  const consumed = new Set([given, methodItem, headersItem, bodyItem]);
  const rest = items.filter((one) => !consumed.has(one)).map((one) => one.raw);
  const path = uri.slice(0, query);
  return ok({
    method: newMethod,
    uri: rest.length === 0 ? path : `${path}?${rest.join("&")}`,
    headers: [
      ...own,
      ...(usesBodyParameter && bodyItem !== undefined ? ["Content-Type", "application/json"] : []),
      "Host",
      getHeader(headers, "host") ?? splitUri(uri).authority,
      "Accept",
      "*/*",
      ...filterHeaders(headers as string[], (name) => name === "host" || name === "accept"),
    ],
    body: bodyItem?.value,
    jsonp: { callback, isExtended: settings.isExtended },
  });
}

function readItem(raw: string): QueryItem {
  const equals = raw.indexOf("=");
  const name = decodeItem(equals < 0 ? raw : raw.slice(0, equals)) ?? "";
  return { raw, name, value: decodeItem(equals < 0 ? "" : raw.slice(equals + 1)) };
}

/** Percent-decoding into bytes. */
function decodeItem(text: string): string | undefined {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) return undefined;
  return text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** Members of a JSON object of strings as headers; `Host` and `Accept` are ours to set. */
function readHeaders(value: string | undefined): string[] | undefined {
  if (value === undefined) return undefined;
  const parsed = parseJson(value);
  if (!parsed.ok || !(parsed.value instanceof Map)) return undefined;
  const headers: string[] = [];
  for (const [field, text] of parsed.value) {
    if (typeof text !== "string") return undefined;
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(field) || /[\r\n\0]/.test(text)) return undefined;
    if (/^(?:host|accept)$/i.test(field)) continue;
    headers.push(field, text);
  }
  return headers;
}
