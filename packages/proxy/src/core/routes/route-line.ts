import { fail, ok, type Result } from "@pushpin/tnetstrings";

/** A value and its props as written in one section of a routes line. */
export interface LineSection {
  readonly value: string;
  readonly props: ReadonlyMap<string, readonly string[]>;
}

/**
 * Takes one line of a routes file apart (proxy.md 2.1): sections divided by blanks, props by
 * commas, quotes anywhere, `#` begins a comment outside quotes.
 */
export function parseRouteLine(line: string): Result<LineSection[]> {
  const sections: LineSection[] = [];
  let at = 0;
  while (at < line.length) {
    if (line[at] === " ") {
      at += 1;
      continue;
    }
    if (line[at] === "#") break;
    const tokens: string[] = [];
    for (;;) {
      const token = readToken(line, at);
      if (!token.ok) return token;
      tokens.push(token.value.text);
      at = token.value.end;
      if (line[at] !== ",") break;
      at += 1;
    }
    const section = sectionOf(tokens);
    if (!section.ok) return section;
    sections.push(section.value);
  }
  return ok(sections);
}

function readToken(line: string, start: number): Result<{ text: string; end: number }> {
  let text = "";
  let quoted = false;
  let at = start;
  for (; at < line.length; at += 1) {
    const char = line[at] as string;
    if (quoted && char === "\\") {
      at += 1;
      const escaped = line[at];
      if (escaped === undefined) return fail("unterminated escape sequence");
      if (escaped !== "\\" && escaped !== '"')
        return fail(`unexpected escape character: ${escaped}`);
      text += escaped;
    } else if (char === '"') quoted = !quoted;
    else if (!quoted && (char === " " || char === "," || char === "#")) break;
    else text += char;
  }
  return quoted ? fail("unterminated quoted section") : ok({ text, end: at });
}

function sectionOf(tokens: readonly string[]): Result<LineSection> {
  const [first = "", ...rest] = tokens;
  const props = new Map<string, string[]>();
  const all = first.includes("=") ? [first, ...rest] : rest;
  for (const prop of all) {
    if (prop === "") return fail("expecting prop");
    const equals = prop.indexOf("=");
    const name = equals < 0 ? prop : prop.slice(0, equals);
    if (name === "") return fail("empty prop name");
    const values = props.get(name) ?? [];
    values.push(equals < 0 ? "" : prop.slice(equals + 1));
    props.set(name, values);
  }
  return ok({ value: first.includes("=") ? "" : first, props });
}
