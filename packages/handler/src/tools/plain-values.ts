import { fromUtf8, type Tnet, type TnetInput, toUtf8 } from "@pushpin/tnetstrings";

/** What JSON can say. */
export type Plain =
  | string
  | number
  | boolean
  | null
  | readonly Plain[]
  | { readonly [name: string]: Plain };

/** A value from the wire for people: byte strings are read as UTF-8. */
export function toPlain(value: Tnet): Plain {
  if (typeof value === "string" || value instanceof Uint8Array) return toUtf8(value);
  if (Array.isArray(value)) return value.map(toPlain);
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([name, one]) => [toUtf8(name), toPlain(one)]));
  return value as Plain;
}

/** A value people wrote for the wire: texts become the bytes of their UTF-8 form. */
export function fromPlain(value: Plain): TnetInput {
  if (typeof value === "string") return fromUtf8(value);
  if (Array.isArray(value)) return value.map((one: Plain) => fromPlain(one));
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(
      Object.entries(value).map(([name, one]) => [fromUtf8(name), fromPlain(one as Plain)]),
    );
  return value as number | boolean | null;
}
