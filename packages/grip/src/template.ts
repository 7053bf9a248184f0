import { fail, ok, type Result } from "@pushpin/tnetstrings";

/** Limit: bytes a template may render to; variables could otherwise multiply its size at will. */
export const RENDERED_MAX_BYTES = 10_000_000;
/** Limit: bytes of a token that is cut by the end of a chunk. */
const TOKEN_MAX_BYTES = 4096;

/**
 * The value of `%X` or `%(argument)X`. `position` is the byte index of the directive, for errors.
 */
export type TemplateResolver = (
  directive: string,
  argument: string | undefined,
  position: number,
) => Result<string>;

type Segment =
  | { readonly literal: string }
  | {
      readonly directive: string;
      readonly argument: string | undefined;
      readonly position: number;
    };

interface Template {
  readonly segments: readonly Segment[];
  /** What is wrong after the last segment. */
  readonly error: string | undefined;
  /** Length of the text that was understood; the rest is an unfinished token. */
  readonly end: number;
}

/** Renders a whole template (handler.md 6.4). */
export function renderTemplate(text: string, resolve: TemplateResolver): Result<string> {
  if (!text.includes("%")) return ok(text);
  return renderSegments(parseWhole(text), resolve, RENDERED_MAX_BYTES);
}

/** One message is rendered for many subscribers in a row: the last template stays parsed. */
let lastText = "";
let lastTemplate: Template = { segments: [], error: undefined, end: 0 };

function parseWhole(text: string): Template {
  if (text !== lastText) {
    lastTemplate = parseTemplate(text, 0, true);
    lastText = text;
  }
  return lastTemplate;
}

/** A template that comes in chunks; a token may span them. */
export class TemplateStream {
  readonly #resolve: TemplateResolver;
  #pending = "";
  #position = 0;
  #left = RENDERED_MAX_BYTES;

  constructor(resolve: TemplateResolver) {
    this.#resolve = resolve;
  }

  update(chunk: string): Result<string> {
    return this.#render(this.#pending + chunk, false);
  }

  finish(): Result<string> {
    return this.#render(this.#pending, true);
  }

  #render(text: string, isLast: boolean): Result<string> {
    const template = parseTemplate(text, this.#position, isLast);
    this.#pending = text.slice(template.end);
    this.#position += template.end;
    const rendered = renderSegments(template, this.#resolve, this.#left);
    if (!rendered.ok) return rendered;
    // Limit: TOKEN_MAX_BYTES
    if (this.#pending.length > TOKEN_MAX_BYTES)
      return fail(`Unterminated field starting at position ${this.#position + 1}`);
    this.#left -= rendered.value.length;
    return rendered;
  }
}

function renderSegments(
  template: Template,
  resolve: TemplateResolver,
  maxBytes: number,
): Result<string> {
  let out = "";
  for (const segment of template.segments) {
    if ("literal" in segment) out += segment.literal;
    else {
      const value = resolve(segment.directive, segment.argument, segment.position);
      if (!value.ok) return value;
      out += value.value;
    }
    // Limit: RENDERED_MAX_BYTES
    if (out.length > maxBytes) return fail(`rendered content exceeded ${RENDERED_MAX_BYTES} bytes`);
  }
  return template.error === undefined ? ok(out) : fail(template.error);
}

function parseTemplate(text: string, base: number, isLast: boolean): Template {
  const segments: Segment[] = [];
  let at = 0;
  while (at < text.length) {
    const percent = text.indexOf("%", at);
    if (percent !== at)
      segments.push({
        literal: text.slice(at, percent < 0 ? text.length : percent),
      });
    if (percent < 0) return { segments, error: undefined, end: text.length };
    const token = parseToken(text, percent, base);
    if ("error" in token) {
      if (token.isCut && !isLast) return { segments, error: undefined, end: percent };
      return { segments, error: token.error, end: text.length };
    }
    segments.push(token.segment);
    at = token.end;
  }
  return { segments, error: undefined, end: text.length };
}

type Token =
  | { readonly segment: Segment; readonly end: number }
  /** `isCut`: the text ended inside the token. */
  | { readonly error: string; readonly isCut: boolean };

function parseToken(text: string, percent: number, base: number): Token {
  const next = text[percent + 1];
  if (next === "%") return { segment: { literal: "%" }, end: percent + 2 };
  if (next !== "(") {
    if (next === undefined || !isLetter(next))
      return {
        error: `Expected directive after '%' at position ${base + percent}`,
        isCut: next === undefined,
      };
    const position = base + percent + 1;
    return {
      segment: { directive: next, argument: undefined, position },
      end: percent + 2,
    };
  }
  const open = percent + 1;
  if (text[open + 1] === undefined)
    return {
      error: `Expected character after '(' at position ${base + open}`,
      isCut: true,
    };
  let argument = "";
  for (let i = open + 1; i < text.length; i += 1) {
    const char = text[i] as string;
    if (char === "\\") {
      i += 1;
      if (text[i] === undefined)
        return {
          error: `Expected character after '\\' at position ${base + i - 1}`,
          isCut: true,
        };
      argument += text[i];
    } else if (char === ")") {
      const directive = text[i + 1];
      if (directive === undefined || !isLetter(directive))
        return {
          error: `Expected directive after ')' at position ${base + i}`,
          isCut: directive === undefined,
        };
      return {
        segment: { directive, argument, position: base + i + 1 },
        end: i + 2,
      };
    } else argument += char;
  }
  return {
    error: `Unterminated field starting at position ${base + open}`,
    isCut: true,
  };
}

function isLetter(char: string): boolean {
  return /^[A-Za-z]$/.test(char);
}

/** `%(name)s` from a map; the variable must be there, but may be empty. */
export function variableResolver(variables: ReadonlyMap<string, string>): TemplateResolver {
  return (directive, argument, position) => {
    if (directive !== "s") return fail(`Unknown directive '${directive}' at position ${position}`);
    if (argument === undefined)
      return fail(`Directive 's' requires argument at position ${position}`);
    const value = variables.get(argument);
    return value === undefined
      ? fail(`No such variable '${argument}' at position ${position}`)
      : ok(value);
  };
}
