import {
  type Bytes,
  fail,
  fromUtf8,
  ok,
  type Result,
  type Tnet,
  toByteString,
  toUtf8,
} from "@pushpin/tnetstrings";

/** JSON as parsed; texts are UTF-16. */
export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}

/** Limit: nesting of JSON we look into; deeper input is refused. */
export const JSON_DEPTH_MAX = 256;

/** Parses JSON of a peer into the values a tnetstring would have given. Never throws. */
export function parseJson(bytes: Bytes): Result<Tnet> {
  let value: unknown;
  try {
    value = JSON.parse(toUtf8(bytes));
  } catch {
    return fail("not valid JSON");
  }
  const converted = convert(value, JSON_DEPTH_MAX);
  return converted === undefined ? fail("nested too deep") : ok(converted);
}

/**
 * Turns parsed JSON into the values a tnetstring would have given: texts as byte strings, objects
 * as maps. Null if it is nested deeper than `JSON_DEPTH_MAX`.
 */
export function fromJson(value: unknown): Tnet {
  return convert(value, JSON_DEPTH_MAX) ?? null;
}

function convert(value: unknown, depth: number): Tnet | undefined {
  if (typeof value === "string") return fromUtf8(value);
  if (typeof value === "number" || typeof value === "boolean") return value;
  if (typeof value !== "object" || value === null) return null;
  if (depth === 0) return undefined;
  if (Array.isArray(value)) {
    const list: Tnet[] = [];
    for (const member of value) {
      const one = convert(member, depth - 1);
      if (one === undefined) return undefined;
      list.push(one);
    }
    return list;
  }
  const map = new Map<string, Tnet>();
  for (const key of Object.keys(value)) {
    const one = convert((value as Record<string, unknown>)[key], depth - 1);
    if (one === undefined) return undefined;
    map.set(fromUtf8(key), one);
  }
  return map;
}

/** The reverse: byte strings as UTF-16 text, maps as objects. */
export function toJsonValue(value: Tnet): JsonValue {
  if (typeof value === "string" || value instanceof Uint8Array) return toUtf8(toByteString(value));
  if (Array.isArray(value)) return value.map(toJsonValue);
  if (!(value instanceof Map)) return value;
  const object: JsonObject = {};
  for (const [key, one] of value) setMember(object, toUtf8(key), toJsonValue(one));
  return object;
}

/** Also for a member called `__proto__`, which an assignment would not store. */
function setMember(object: JsonObject, key: string, value: JsonValue): void {
  if (key !== "__proto__") object[key] = value;
  else
    Object.defineProperty(object, key, {
      value,
      enumerable: true,
      writable: true,
      configurable: true,
    });
}

/**
 * Compact JSON, members sorted by UTF-16 code units (handler.md A.4); undefined if nested deeper
 * than `JSON_DEPTH_MAX`.
 */
export function renderJson(value: JsonValue, depth = JSON_DEPTH_MAX): string | undefined {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (depth === 0) return undefined;
  const parts: string[] = [];
  if (Array.isArray(value)) {
    for (const member of value) {
      const text = renderJson(member, depth - 1);
      if (text === undefined) return undefined;
      parts.push(text);
    }
    return `[${parts.join(",")}]`;
  }
  for (const key of Object.keys(value).sort()) {
    const text = renderJson(value[key] as JsonValue, depth - 1);
    if (text === undefined) return undefined;
    parts.push(`${JSON.stringify(key)}:${text}`);
  }
  return `{${parts.join(",")}}`;
}

/** A map of byte strings as compact JSON with sorted keys, as a byte string. */
export function renderTextMap(map: ReadonlyMap<string, string>): string {
  const members = [...map].map(([key, value]) => [toUtf8(key), toUtf8(value)] as const);
  members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const parts = members.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  return fromUtf8(`{${parts.join(",")}}`);
}
