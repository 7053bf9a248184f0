/** A parsed request head. Texts are byte strings cut from the head; detach what must outlive it. */
export interface RequestHead {
  readonly method: string;
  /** Request target as sent. */
  readonly target: string;
  readonly minorVersion: 0 | 1;
  /** Flat: name, value. */
  readonly headers: string[];
  /** The one valid Host, lower case kept as sent; empty where HTTP/1.0 has none. */
  readonly host: string;
  /** Body bytes announced; -1 is chunked, 0 is none. */
  readonly contentLength: number;
  readonly persistent: boolean;
  readonly expectsContinue: boolean;
  /** Lower-case `Upgrade` value, if any. */
  readonly upgrade: string;
}

export interface HeadError {
  readonly status: number;
  readonly text: string;
}

export type HeadResult =
  | { readonly ok: true; readonly value: RequestHead }
  | { readonly ok: false; readonly error: HeadError };

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Octets of a target; a fragment is no part of it. */
const TARGET = /^[\x21\x22\x24-\x7e\x80-\xff]+$/;
/** Octets that stand nowhere in a head; CR and LF only as a pair. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: exactly the octets a head must not hold
const FORBIDDEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n/;
const HOST =
  /^(?:(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::\d{0,5})?)?$/;

function bad(text: string, status = 400): HeadResult {
  return { ok: false, error: { status, text: `Failed to parse request: ${text}\n` } };
}

/**
 * Parses a request head, strict where ambiguity is an attack (RFC 9112). `head` is everything up
 * to and without the blank line, with CRLF line ends.
 */
export function parseRequestHead(head: string, headersMax: number): HeadResult {
  const lines = head.split("\r\n");
  const requestLine = lines[0] as string;
  const first = requestLine.indexOf(" ");
  const last = requestLine.lastIndexOf(" ");
  if (first <= 0 || last === first) return bad("invalid token");
  const method = requestLine.slice(0, first);
  const target = requestLine.slice(first + 1, last);
  const version = requestLine.slice(last + 1);
  if (!TOKEN.test(method) || !TARGET.test(target)) return bad("invalid token");
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") return bad("invalid HTTP version");
  // Limit: header fields of a request.
  if (lines.length - 1 > headersMax)
    return {
      ok: false,
      error: { status: 431, text: "Failed to parse request: too many headers\n" },
    };
  const fields = FORBIDDEN.test(head) ? undefined : parseFields(lines);
  if (fields === undefined) return bad("invalid header name");
  return interpret(method, target, version === "HTTP/1.1" ? 1 : 0, fields);
}

function parseFields(lines: readonly string[]): string[] | undefined {
  const headers: string[] = [];
  for (let i = 1; i < lines.length; i += 1) {
    const line = lines[i] as string;
    const colon = line.indexOf(":");
    if (colon <= 0) return undefined;
    const name = line.slice(0, colon);
    if (!TOKEN.test(name)) return undefined;
    let start = colon + 1;
    let end = line.length;
    while (start < end && isBlank(line.charCodeAt(start))) start += 1;
    while (end > start && isBlank(line.charCodeAt(end - 1))) end -= 1;
    headers.push(name, line.slice(start, end));
  }
  return headers;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** What the fields say that the connection itself must know. */
interface Meaning {
  host: string | undefined;
  hostAt: number;
  length: string | undefined;
  isChunked: boolean;
  close: boolean;
  keepAlive: boolean;
  expectsContinue: boolean;
  upgrade: string;
}

function interpret(
  method: string,
  target: string,
  minorVersion: 0 | 1,
  headers: string[],
): HeadResult {
  const meaning: Meaning = {
    host: undefined,
    hostAt: -1,
    length: undefined,
    isChunked: false,
    close: false,
    keepAlive: false,
    expectsContinue: false,
    upgrade: "",
  };
  for (let i = 0; i < headers.length; i += 2) {
    const error = note(meaning, headers[i] as string, headers[i + 1] as string, i);
    if (error !== undefined) return bad(error);
  }
  const { length, isChunked, close } = meaning;
  let { host } = meaning;
  if (isChunked && (length !== undefined || minorVersion === 0))
    return bad("invalid content length");
  if (host === undefined ? minorVersion === 1 : !HOST.test(host)) return bad("invalid host");
  let path = target;
  if (target.charCodeAt(0) !== 0x2f && !(target === "*" && method === "OPTIONS")) {
    const absolute = /^https?:\/\/([^/?]+)(.*)$/i.exec(target);
    if (absolute === null || !HOST.test(absolute[1] as string)) return bad("invalid target");
    host = absolute[1] as string;
    path = absolute[2] as string;
    if (!path.startsWith("/")) path = `/${path}`;
    // Whoever reads Host behind us must see the host that is routed.
    if (meaning.hostAt >= 0) headers[meaning.hostAt + 1] = host;
  }
  return {
    ok: true,
    value: {
      method,
      target: path,
      minorVersion,
      headers,
      host: host ?? "",
      contentLength: isChunked ? -1 : Number(length ?? 0),
      persistent: minorVersion === 1 ? !close : meaning.keepAlive && !close,
      expectsContinue: meaning.expectsContinue && minorVersion === 1,
      upgrade: meaning.upgrade,
    },
  };
}

/** Takes one field; the text of the error if it must not be. */
function note(meaning: Meaning, name: string, value: string, at: number): string | undefined {
  switch (name.length) {
    case 4:
      if (name.toLowerCase() !== "host") return undefined;
      if (meaning.hostAt >= 0) return "invalid host";
      meaning.host = value;
      meaning.hostAt = at;
      return undefined;
    case 6:
      if (name.toLowerCase() === "expect" && value.toLowerCase() === "100-continue")
        meaning.expectsContinue = true;
      return undefined;
    case 7:
      if (name.toLowerCase() === "upgrade")
        meaning.upgrade += meaning.upgrade === "" ? value.toLowerCase() : `,${value}`;
      return undefined;
    case 10:
      if (name.toLowerCase() !== "connection") return undefined;
      for (const token of value.toLowerCase().split(",")) {
        const word = token.trim();
        if (word === "close") meaning.close = true;
        else if (word === "keep-alive") meaning.keepAlive = true;
      }
      return undefined;
    case 14:
      if (name.toLowerCase() !== "content-length") return undefined;
      // One length only: a second, even an equal one, is a sign of two readers disagreeing.
      if (meaning.length !== undefined || !/^\d{1,15}$/.test(value))
        return "invalid content length";
      meaning.length = value;
      return undefined;
    case 17:
      if (name.toLowerCase() !== "transfer-encoding") return undefined;
      if (meaning.isChunked || value.toLowerCase() !== "chunked")
        return "unsupported transfer encoding";
      meaning.isChunked = true;
      return undefined;
    default:
      return undefined;
  }
}
