import { toByteString } from "@pushpin/tnetstrings";

/**
 * An anchor is JSON whose texts are byte strings; a map is written `{"": [[key, value], …]}`, bytes
 * are written as text. Whoever keeps it never looks inside.
 */
export function encodeAnchor(anchor: object): string {
  return JSON.stringify(anchor, asPlain);
}

function asPlain(_key: string, value: unknown): unknown {
  if (value instanceof Map) return { "": [...value] };
  if (value instanceof Uint8Array) return toByteString(value);
  // `Buffer.toJSON` has run before we see the value.
  return isBufferJson(value) ? Buffer.from(value.data).toString("latin1") : value;
}

function isBufferJson(value: unknown): value is { data: number[] } {
  return (
    typeof value === "object" &&
    value !== null &&
    (value as { type?: unknown }).type === "Buffer" &&
    Array.isArray((value as { data?: unknown }).data)
  );
}

/** What `encodeAnchor` was given, as far as JSON tells; undefined where it is not JSON. */
export function decodeAnchor(text: string): unknown {
  try {
    return JSON.parse(text, (_key, value: unknown) => {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
      const pairs = (value as Record<string, unknown>)[""];
      return Array.isArray(pairs) ? new Map(pairs as [string, unknown][]) : value;
    });
  } catch {
    return undefined;
  }
}
