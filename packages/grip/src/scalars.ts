import { type Bytes, fail, ok, type Result, type Tnet, toByteString } from "@pushpin/tnetstrings";

/** Limit: integers beyond this become it; nothing we read needs more. */
export const INTEGER_MAX = 2_147_483_647;

/** An integer in a header: spaces around it and a plus sign are allowed, `10s` and `10.5` are not. */
export function parseInteger(text: string): number | undefined {
  if (!/^\s*[+-]?\d{1,20}\s*$/.test(text)) return undefined;
  const value = Number(text);
  return Math.abs(value) > INTEGER_MAX ? undefined : value;
}

/**
 * What counts as an integer in items and JSON instructs (handler.md A.3): numbers rounded, texts
 * with digits, other texts as 0, booleans; undefined for other types.
 */
export function toInteger(value: Tnet): number | undefined {
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "number") {
    const rounded = Math.sign(value) * Math.floor(Math.abs(value) + 0.5) + 0;
    return Math.min(Math.max(rounded, -INTEGER_MAX), INTEGER_MAX);
  }
  if (typeof value === "string") return parseInteger(value) ?? 0;
  return value instanceof Uint8Array ? 0 : undefined;
}

/** A byte string, also where the decoder left it as a view. */
export function toText(value: Tnet | undefined): string | undefined {
  if (typeof value === "string") return value;
  return value instanceof Uint8Array ? toByteString(value) : undefined;
}

/** Bytes as they are; undefined for other types. */
export function toContent(value: Tnet): Bytes | undefined {
  return typeof value === "string" || value instanceof Uint8Array ? value : undefined;
}

/** Base64 that never fails: what is not in the alphabet is skipped. */
export function decodeBase64(text: string): string {
  return Buffer.from(text.replace(/[^A-Za-z0-9+/]+/g, ""), "base64").toString("latin1");
}

/**
 * Headers of an item or instruct: a list of pairs, or an object, which is sorted by name. `where`
 * is how errors name the object they are in.
 */
export function parseHeaderFields(value: Tnet, where: string): Result<string[]> {
  const flat: string[] = [];
  if (Array.isArray(value)) {
    for (const pair of value) {
      if (!Array.isArray(pair)) return fail("headers contains element with wrong type");
      if (pair.length !== 2) return fail("headers contains list with wrong number of elements");
      const name = toText(pair[0]);
      const text = toText(pair[1]);
      if (name === undefined) return fail("header contains name element with wrong type");
      if (text === undefined) return fail("header contains value element with wrong type");
      flat.push(name, text);
    }
    return ok(flat);
  }
  if (!(value instanceof Map)) return fail(`${where} contains 'headers' with wrong type`);
  for (const name of [...value.keys()].sort()) {
    const text = toText(value.get(name));
    if (text === undefined) return fail(`headers contains '${name}' with wrong type`);
    flat.push(name, text);
  }
  return ok(flat);
}

/** A map of texts, such as `meta`. */
export function parseTextMap(value: Tnet, name: string): Result<Map<string, string>> | undefined {
  if (!(value instanceof Map)) return undefined;
  const map = new Map<string, string>();
  for (const [key, one] of value) {
    const text = toText(one);
    if (text === undefined) return fail(`'${name}' contains '${key}' with wrong type`);
    map.set(key, text);
  }
  return ok(map);
}
