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
// biome-ignore lint/suspicious/noControlCharactersInRegex: exactly the octets a target must not hold
const TARGET = /^[\x21-\x7e\x80-\xff]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: exactly the octets a field value may hold
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::\d{0,5})?$/;

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
  const fields = parseFields(lines);
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
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "");
    if (!TOKEN.test(name) || !VALUE.test(value)) return undefined;
    headers.push(name, value);
  }
  return headers;
}

function interpret(
  method: string,
  target: string,
  minorVersion: 0 | 1,
  headers: string[],
): HeadResult {
  let host: string | undefined;
  let length: string | undefined;
  let encoding: string | undefined;
  let close = false;
  let keepAlive = false;
  let expectsContinue = false;
  let upgrade = "";
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1] as string;
    switch ((headers[i] as string).toLowerCase()) {
      case "host":
        if (host !== undefined) return bad("invalid host");
        host = value;
        break;
      case "content-length":
        // One length only: a second, even an equal one, is a sign of two readers disagreeing.
        if (length !== undefined || !/^\d{1,15}$/.test(value)) return bad("invalid content length");
        length = value;
        break;
      case "transfer-encoding":
        if (encoding !== undefined || value.toLowerCase() !== "chunked")
          return bad("unsupported transfer encoding", 501);
        encoding = value;
        break;
      case "connection":
        for (const token of value.toLowerCase().split(",")) {
          if (token.trim() === "close") close = true;
          else if (token.trim() === "keep-alive") keepAlive = true;
        }
        break;
      case "expect":
        if (value.toLowerCase() === "100-continue") expectsContinue = minorVersion === 1;
        break;
      case "upgrade":
        upgrade = value.toLowerCase();
        break;
      default:
    }
  }
  if (encoding !== undefined && (length !== undefined || minorVersion === 0))
    return bad("invalid content length");
  if (host === undefined ? minorVersion === 1 : !HOST.test(host)) return bad("invalid host");
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target);
  if (absolute !== null) {
    const [, authority = "", rest = ""] = absolute;
    if (!HOST.test(authority) || authority === "") return bad("invalid target");
    host = authority;
    target = rest.startsWith("/") ? rest : `/${rest}`;
  } else if (!target.startsWith("/") && !(target === "*" && method === "OPTIONS"))
    return bad("invalid target");
  return {
    ok: true,
    value: {
      method,
      target,
      minorVersion,
      headers,
      host: host ?? "",
      contentLength: encoding !== undefined ? -1 : Number(length ?? 0),
      persistent: minorVersion === 1 ? !close : keepAlive && !close,
      expectsContinue,
      upgrade,
    },
  };
}
