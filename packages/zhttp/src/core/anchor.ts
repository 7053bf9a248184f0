import { toByteString } from "@pushpin/tnetstrings";

/**
 * An anchor is JSON whose texts are byte strings; a map is written `{"": [[key, value], …]}`, bytes
 * are written as text. Whoever keeps it never looks inside.
 */
export function encodeAnchor(anchor: object): string {
  return JSON.stringify(toPlain(anchor));
}

/** JSON.stringify with a replacer takes five times as long, and there is an anchor for every client. */
function toPlain(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return toByteString(value);
  if (value instanceof Map) return { "": toPlain([...value]) };
  if (Array.isArray(value)) return value.some(isObject) ? value.map(toPlain) : value;
  const plain: Record<string, unknown> = {};
  for (const key in value) plain[key] = toPlain((value as Record<string, unknown>)[key]);
  return plain;
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

/** What `encodeAnchor` was given, as far as JSON tells; undefined where it is not JSON. */
export function decodeAnchor(text: string): unknown {
  try {
    return fromPlain(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Puts maps back, in place. */
function fromPlain(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i += 1)
      if (isObject(value[i])) value[i] = fromPlain(value[i]);
    return value;
  }
  const record = value as Record<string, unknown>;
  const pairs = record[""];
  if (Array.isArray(pairs)) return new Map(fromPlain(pairs) as [string, unknown][]);
  for (const key in record) if (isObject(record[key])) record[key] = fromPlain(record[key]);
  return record;
}
