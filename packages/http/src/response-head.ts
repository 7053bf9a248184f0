/** How the end of a response body is told to the client. */
export type Framing = "length" | "chunked" | "close" | "none";

export interface ResponseLine {
  readonly minorVersion: 0 | 1;
  readonly code: number;
  readonly reason: string;
  /** Flat. `Connection` (but for 101), `Content-Length` and `Transfer-Encoding` are replaced. */
  readonly headers: readonly string[];
  readonly framing: Framing;
  /** With framing `length`; absent for HEAD and 304 answers without one. */
  readonly contentLength?: number | undefined;
  readonly persistent: boolean;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: what would end a line or a header early
const FORBIDDEN = /[\x00\r\n]/;

/** Whether names, values and reason can be written without changing what follows them. */
export function isWritable(reason: string, headers: readonly string[]): boolean {
  if (FORBIDDEN.test(reason)) return false;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    if (
      name === "" ||
      /[\s:]/.test(name) ||
      FORBIDDEN.test(name) ||
      FORBIDDEN.test(headers[i + 1] ?? "")
    )
      return false;
  }
  return true;
}

/** The bytes of a response head, in the original's order (operations.md 4.6). */
export function renderResponseHead(line: ResponseLine): string {
  let out = `HTTP/1.${line.minorVersion} ${line.code} ${line.reason}\r\n`;
  for (let i = 0; i + 1 < line.headers.length; i += 2) {
    const name = line.headers[i] as string;
    if (name.length === 10 || name.length === 14 || name.length === 17) {
      const lower = name.toLowerCase();
      if (
        lower === "connection"
          ? line.code !== 101
          : lower === "content-length" || lower === "transfer-encoding"
      )
        continue;
    }
    out += `${name}: ${line.headers[i + 1] as string}\r\n`;
  }
  if (line.code !== 101) {
    if (line.minorVersion === 0 && line.persistent) out += "Connection: keep-alive\r\n";
    else if (!line.persistent) out += "Connection: close\r\n";
  }
  if (line.framing === "chunked")
    out += "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n";
  else if (line.contentLength !== undefined) out += `Content-Length: ${line.contentLength}\r\n`;
  return `${out}\r\n`;
}
