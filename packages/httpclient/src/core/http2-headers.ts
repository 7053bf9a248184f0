import type { HeaderList } from "@pushpin/http";

/** What HTTP/2 says by other means, or must not be said over it (RFC 9113, 8.2.2). */
const NOT_SENT: ReadonlySet<string> = new Set(["host", "http2-settings"]);

export interface RequestLine {
  readonly method: string;
  readonly path: string;
  readonly secure: boolean;
}

/**
 * The header block of a request, for `node:http2`. Repeated fields stay apart; where only one is
 * possible, `firstOnly` keeps the first. Whether they can be sent is not looked at.
 */
export function http2RequestHeaders(
  { method, path, secure }: RequestLine,
  headers: HeaderList,
  contentLength: number | undefined,
  firstOnly: boolean,
): Record<string, string | string[]> {
  const block: Record<string, string | string[]> = Object.assign(
    Object.create(null) as Record<string, string>,
    { ":method": method, ":scheme": secure ? "https" : "http", ":authority": "", ":path": path },
  );
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    const value = headers[i + 1] as string;
    if (name === "host") block[":authority"] ||= value;
    if (NOT_SENT.has(name)) continue;
    const earlier = block[name];
    if (earlier === undefined) block[name] = value;
    else if (Array.isArray(earlier)) earlier.push(value);
    else if (!firstOnly) block[name] = [earlier, value];
  }
  if (contentLength !== undefined) block["content-length"] ??= String(contentLength);
  return block;
}

/** The fields of a response, from name and value in turns. */
export function http2ResponseHeaders(raw: readonly string[]): string[] {
  const headers: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string;
    if (!name.startsWith(":")) headers.push(name, raw[i + 1] as string);
  }
  return headers;
}
