/** One value as written: a text, or several where commas outside quotes divide it. */
export interface IniValue {
  readonly items: readonly string[];
  readonly line: number;
}

export type IniSection = ReadonlyMap<string, IniValue>;
export type IniFile = ReadonlyMap<string, IniSection>;

/**
 * Reads the dialect of the original's settings (operations.md 3.2): sections, comma lists, quotes
 * that open anywhere, escapes, `;` ends a value, `#` only begins a comment line, last one wins.
 * UTF-8; a byte order mark and CRLF are accepted.
 */
export function parseIni(text: string): IniFile {
  const sections = new Map<string, Map<string, IniValue>>();
  let section: Map<string, IniValue> | undefined;
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  for (let i = 0; i < lines.length; i += 1) {
    const number = i + 1;
    let line = lines[i] ?? "";
    while (line.endsWith("\\") && !line.endsWith("\\\\") && i + 1 < lines.length) {
      i += 1;
      line = line.slice(0, -1) + (lines[i] ?? "");
    }
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#") || trimmed.startsWith(";")) continue;
    if (trimmed.startsWith("[")) {
      const end = trimmed.indexOf("]");
      const name = trimmed.slice(1, end < 0 ? undefined : end).trim();
      section = name === "General" ? undefined : (sections.get(name) ?? new Map());
      if (section !== undefined) sections.set(name, section);
      continue;
    }
    const equals = line.indexOf("=");
    if (equals < 0 || section === undefined) continue;
    section.set(decodeKey(line.slice(0, equals).trim()), {
      items: parseValue(line.slice(equals + 1)),
      line: number,
    });
  }
  return sections;
}

function decodeKey(key: string): string {
  return key.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "0": "\0",
  '"': '"',
  "'": "'",
  "\\": "\\",
};

/** The text that `parseValue` reads as these items. */
export function renderValue(items: readonly string[]): string {
  return items.map(renderItem).join(",");
}

function renderItem(item: string): string {
  if (!/[",;\\\x00-\x1f]|^\s|\s$/.test(item)) return item;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they would end the line
  const escaped = item.replace(/["\\\x00-\x1f]/g, (char) => {
    const known = Object.entries(ESCAPES).find(([, meant]) => meant === char && char !== "\0");
    if (known !== undefined) return `\\${known[0]}`;
    return `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`;
  });
  return `"${escaped}"`;
}

export function parseValue(text: string): string[] {
  const items: string[] = [];
  let item = "";
  /** Up to here blanks at the end belong to the value: they were quoted or escaped. */
  let kept = 0;
  let quoted = false;
  const finish = () => {
    let end = item.length;
    while (end > kept && (item[end - 1] === " " || item[end - 1] === "\t")) end -= 1;
    items.push(item.slice(0, end));
    item = "";
    kept = 0;
  };
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i] as string;
    if (char === "\\") {
      const { text: escaped, length } = unescapeAt(text, i + 1);
      item += escaped;
      kept = item.length;
      i += length;
    } else if (char === '"') {
      quoted = !quoted;
      kept = item.length;
    } else if (quoted) {
      item += char;
      kept = item.length;
    } else if (char === ";") break;
    else if (char === ",") finish();
    else if (item !== "" || (char !== " " && char !== "\t")) item += char;
  }
  finish();
  return items;
}

function unescapeAt(text: string, at: number): { text: string; length: number } {
  const hex = /^x([0-9a-fA-F]+)/.exec(text.slice(at, at + 8));
  if (hex?.[1] !== undefined)
    return {
      text: String.fromCodePoint(Number.parseInt(hex[1], 16) & 0xffff),
      length: hex[0].length,
    };
  const octal = /^[0-7]{1,3}/.exec(text.slice(at, at + 3));
  if (octal !== null && octal[0] !== "0")
    return { text: String.fromCharCode(Number.parseInt(octal[0], 8)), length: octal[0].length };
  const char = text[at];
  if (char === undefined) return { text: "", length: 0 };
  // Compat: an escaped comma is nothing at all.
  return { text: ESCAPES[char] ?? (char === "," ? "" : char), length: 1 };
}
