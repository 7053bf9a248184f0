/** Header fields in order, flat: name, value, name, value. Byte strings, names in original case. */
export type HeaderList = string[];

export function getHeader(headers: readonly string[], lowerName: string): string | undefined {
  for (let i = 0; i + 1 < headers.length; i += 2)
    if (sameName(headers[i] as string, lowerName)) return headers[i + 1];
  return undefined;
}

export function getAllHeaders(headers: readonly string[], lowerName: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2)
    if (sameName(headers[i] as string, lowerName)) values.push(headers[i + 1] as string);
  return values;
}

export function hasHeader(headers: readonly string[], lowerName: string): boolean {
  return getHeader(headers, lowerName) !== undefined;
}

/** The list without the fields `drop` says yes to (it is given lower-case names); the same list if none. */
export function filterHeaders(
  headers: HeaderList,
  drop: (lowerName: string) => boolean,
): HeaderList {
  let out: HeaderList | undefined;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    if (drop(name.toLowerCase())) out ??= headers.slice(0, i);
    else out?.push(name, headers[i + 1] as string);
  }
  return out ?? headers;
}

export function removeHeader(headers: HeaderList, lowerName: string): HeaderList {
  return hasHeader(headers, lowerName)
    ? filterHeaders(headers, (name) => name === lowerName)
    : headers;
}

/** A new list in which `name` has exactly this value, at the end. */
export function setHeader(headers: HeaderList, name: string, value: string): HeaderList {
  return [...removeHeader(headers, name.toLowerCase()), name, value];
}

function sameName(name: string, lowerName: string): boolean {
  return (
    name.length === lowerName.length && (name === lowerName || name.toLowerCase() === lowerName)
  );
}

/** Fields that concern one connection and never pass a proxy. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** The names in all `Connection` fields, lower case. */
export function connectionTokens(headers: readonly string[]): string[] {
  return getAllHeaders(headers, "connection").flatMap((value) =>
    value
      .split(",")
      .map((one) => one.trim().toLowerCase())
      .filter((one) => one !== ""),
  );
}

/**
 * Splits a field value at commas outside double quotes (backslash escapes inside quotes); pieces
 * are trimmed, empty ones kept, a trailing comma alone adds none (handler.md A.1).
 */
export function splitList(value: string): string[] {
  const pieces: string[] = [];
  let start = 0;
  let quoted = false;
  for (let i = 0; i < value.length; i += 1) {
    const char = value[i];
    if (quoted && char === "\\") i += 1;
    else if (char === '"') quoted = !quoted;
    else if (char === "," && !quoted) {
      pieces.push(value.slice(start, i).trim());
      start = i + 1;
    }
  }
  if (start < value.length) pieces.push(value.slice(start).trim());
  return pieces;
}

export interface Parameterised {
  /** Text before the first `;`, trimmed, never unquoted. */
  readonly value: string;
  /** Name and value; undefined for a name without `=`. */
  readonly parameters: readonly (readonly [name: string, value: string | undefined])[];
}

/** `value; name=text; name="quoted"`; undefined where a closing quote is missing. */
export function parseParameters(text: string): Parameterised | undefined {
  const semicolon = text.indexOf(";");
  if (semicolon < 0) return { value: text.trim(), parameters: [] };
  const parameters = parsePairs(text.slice(semicolon + 1));
  return parameters === undefined
    ? undefined
    : { value: text.slice(0, semicolon).trim(), parameters };
}

/** `name=text; name` without a leading value. */
export function parsePairs(text: string): [string, string | undefined][] | undefined {
  const pairs: [string, string | undefined][] = [];
  for (let at = 0; at < text.length; ) {
    const end = /[=;]/.exec(text.slice(at));
    const stop = end === null ? text.length : at + end.index;
    const name = text.slice(at, stop).trim();
    if (text[stop] !== "=") {
      if (name !== "") pairs.push([name, undefined]);
      at = stop + 1;
      continue;
    }
    let from = stop + 1;
    while (text[from] === " " || text[from] === "\t") from += 1;
    if (text[from] === '"') {
      let value = "";
      let i = from + 1;
      for (; i < text.length && text[i] !== '"'; i += 1) {
        if (text[i] === "\\") i += 1;
        value += text[i] ?? "";
      }
      if (i >= text.length) return undefined;
      if (name !== "") pairs.push([name, value]);
      const next = text.indexOf(";", i);
      at = next < 0 ? text.length : next + 1;
      continue;
    }
    const next = text.indexOf(";", from);
    const to = next < 0 ? text.length : next;
    if (name !== "") pairs.push([name, text.slice(from, to).trim()]);
    at = to + 1;
  }
  return pairs;
}
