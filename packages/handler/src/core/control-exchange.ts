import { getAllHeaders, getHeader, reasonPhrase, splitList } from "@pushpin/http";
import { type Bytes, concatBytes, sliceBytes, toByteString } from "@pushpin/tnetstrings";

export interface ControlLimits {
  readonly headerMaxBytes: number;
  readonly bodyMaxBytes: number;
}

export interface ControlRequest {
  readonly method: string;
  /** Request target as sent. */
  readonly target: string;
  readonly minorVersion: 0 | 1;
  /** Flat. */
  readonly headers: readonly string[];
  readonly body: Bytes;
}

export interface ControlResponse {
  readonly code: number;
  readonly contentType: string;
  /** UTF-8 as a byte string. */
  readonly body: string;
  /** Flat; in front of all others. */
  readonly extraHeaders?: readonly string[];
}

/** Methods that need no length: they come without a body. */
const BODILESS = new Set(["HEAD", "GET", "DELETE", "OPTIONS"]);
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: octets that may not be in a request target
const TARGET = /^[^\x00-\x20\x7f]+$/;

type State =
  | { readonly name: "head" }
  | { readonly name: "body"; readonly head: Head; readonly length: number }
  | { readonly name: "answering" }
  | { readonly name: "done" };

/** What the shell has to do: write, end, or have the request answered. */
export interface ControlStep {
  readonly send?: string;
  readonly end?: boolean;
  readonly request?: ControlRequest;
}

const NOTHING: ControlStep = {};

type Head = Omit<ControlRequest, "body">;

//   head ──▶ body ──▶ answering ──respond──▶ done;  answering ──respond, kept──▶ head
/**
 * One connection of the HTTP control port: one request, one answer, end (handler.md 7.3). A client
 * that asks for `Connection: keep-alive` may send more requests, one after the other (ours). Bytes
 * in; the request, or bytes to send, out.
 */
export class ControlExchange {
  readonly #limits: ControlLimits;
  #state: State = { name: "head" };
  #parts: Bytes[] = [];
  #size = 0;
  #minorVersion: 0 | 1 = 1;
  #wantsMore = false;

  constructor(limits: ControlLimits) {
    this.#limits = limits;
  }

  /** Takes bytes of the client. `send` is to be written now; with `end` nothing follows. */
  receive(bytes: Bytes): ControlStep {
    if (this.#state.name === "done") return NOTHING;
    this.#parts.push(bytes);
    this.#size += bytes.length;
    if (this.#state.name === "body") return this.#body(this.#state);
    return this.#state.name === "head" ? this.#head() : NOTHING;
  }

  /** No byte of a next request has come. */
  get isIdle(): boolean {
    return this.#state.name === "head" && this.#size === 0;
  }

  /** The request that is being answered is all the client has sent. */
  get isWhole(): boolean {
    return this.#state.name === "answering" && this.#size === 0;
  }

  /** The answer; `mayKeep`: there is room for a connection that stays. */
  respond(response: ControlResponse, mayKeep = false): { send: string; end: boolean } {
    const isKept = mayKeep && this.#wantsMore && this.#state.name === "answering";
    this.#state = { name: isKept ? "head" : "done" };
    if (!isKept) this.#parts = [];
    return { send: renderResponse(response, this.#minorVersion, isKept), end: !isKept };
  }

  /** What came behind the request that was answered. */
  next(): ControlStep {
    return this.#state.name === "head" && this.#size > 0 ? this.#head() : NOTHING;
  }

  #head(): ControlStep {
    const data = concatBytes(this.#parts);
    this.#parts = [data];
    const text = toByteString(sliceBytes(data, 0, this.#limits.headerMaxBytes + 4));
    const end = headEnd(text);
    // Limit: headerMaxBytes
    if (end === undefined || end.length > this.#limits.headerMaxBytes)
      return this.#size > this.#limits.headerMaxBytes || end !== undefined
        ? this.#refuse(400, "Request header too large.")
        : {};
    const head = parseHead(text.slice(0, end.length));
    if (head === undefined) return this.#refuse(400, "Failed to parse request header.");
    this.#minorVersion = head.minorVersion;
    this.#wantsMore = KEEP_ALIVE.test(getHeader(head.headers, "connection") ?? "");
    const length = bodyLength(head, this.#limits.bodyMaxBytes);
    if (typeof length !== "number") return this.#refuse(length.code, length.text);
    const rest = sliceBytes(data, end.next);
    this.#parts = [rest];
    this.#size = rest.length;
    const state = { name: "body", head, length } as const;
    this.#state = state;
    const step = this.#body(state);
    const isWaiting = step.request === undefined && step.end !== true;
    if (isWaiting && /^100-continue$/i.test(getHeader(head.headers, "expect") ?? ""))
      return { send: `HTTP/1.${head.minorVersion} 100 Continue\r\n\r\n` };
    return step;
  }

  #body({ head, length }: State & { name: "body" }): ControlStep {
    if (this.#size < length) return NOTHING;
    if (this.#size > length && !this.#wantsMore)
      return this.#refuse(400, "Request body exceeded Content-Length.");
    const data = concatBytes(this.#parts);
    this.#size -= length;
    this.#parts = this.#size === 0 ? [] : [sliceBytes(data, length)];
    this.#state = ANSWERING;
    const { method, target, minorVersion, headers } = head;
    const body = this.#size === 0 ? data : sliceBytes(data, 0, length);
    return { request: { method, target, minorVersion, headers, body } };
  }

  #refuse(code: number, text: string): ControlStep {
    return this.respond({ code, contentType: "text/plain", body: `${text}\n` });
  }
}

const KEEP_ALIVE = /^\s*keep-alive\s*$/i;
const ANSWERING: State = { name: "answering" };

export function renderResponse(
  response: ControlResponse,
  minorVersion: 0 | 1,
  isKept = false,
): string {
  let head = `HTTP/1.${minorVersion} ${response.code} ${reasonPhrase(response.code)}\r\n`;
  const extra = response.extraHeaders ?? [];
  for (let i = 0; i + 1 < extra.length; i += 2) head += `${extra[i]}: ${extra[i + 1]}\r\n`;
  const connection = isKept ? "keep-alive" : "close";
  head += `Content-Type: ${response.contentType}\r\nConnection: ${connection}\r\n`;
  return `${head}Content-Length: ${response.body.length}\r\n\r\n${response.body}`;
}

/** Lines may end in CRLF or LF alone. */
function headEnd(text: string): { length: number; next: number } | undefined {
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) {
    if (text[at + 1] === "\n") return { length: at, next: at + 2 };
    if (text[at + 1] === "\r" && text[at + 2] === "\n") return { length: at, next: at + 3 };
  }
  return undefined;
}

function parseHead(text: string): Head | undefined {
  const lines = text.split("\n").map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  const [method, target, version, ...more] = (lines[0] as string).split(" ");
  if (method === undefined || target === undefined || more.length > 0) return undefined;
  if (!METHOD.test(method) || !TARGET.test(target)) return undefined;
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") return undefined;
  const headers: string[] = [];
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(":");
    if (colon <= 0) return undefined;
    headers.push(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  return {
    method,
    target,
    minorVersion: version === "HTTP/1.1" ? 1 : 0,
    headers,
  };
}

function bodyLength(head: Head, bodyMaxBytes: number): number | { code: number; text: string } {
  const value = getHeader(head.headers, "content-length");
  if (value === undefined) {
    if (
      getHeader(head.headers, "transfer-encoding") !== undefined ||
      !BODILESS.has(head.method.toUpperCase())
    )
      return { code: 411, text: "Request requires Content-Length." };
    return 0;
  }
  if (!/^[+-]?\d{1,15}$/.test(value)) return { code: 400, text: "Bad Content-Length." };
  const length = Number(value);
  if (length < 0) return { code: 400, text: "Request body exceeded Content-Length." };
  // Limit: bodyMaxBytes, told before the body is read
  if (length > bodyMaxBytes) return { code: 400, text: "Request body too large." };
  return length;
}

export type AnswerFormat = "text" | "json";

const TEXT_TYPES = new Set(["text/plain", "text/*", "*/*", "*"]);
const JSON_TYPES = new Set(["application/json", "application/*"]);

/**
 * What the client accepts: the supported type with the highest `q`, among equals the last one
 * listed, as clients of the original expect. Undefined: neither.
 */
export function chooseFormat(headers: readonly string[]): AnswerFormat | undefined {
  const values = getAllHeaders(headers, "accept");
  if (values.length === 0) return "text";
  let best: AnswerFormat | undefined;
  let bestQ = 0;
  for (const one of values.flatMap(splitList)) {
    const [type = "", ...parameters] = one.split(";").map((part) => part.trim().toLowerCase());
    const format = TEXT_TYPES.has(type) ? "text" : JSON_TYPES.has(type) ? "json" : undefined;
    if (format === undefined) continue;
    const q = quality(parameters);
    if (q <= 0 || q < bestQ) continue;
    best = format;
    bestQ = q;
  }
  return best;
}

function quality(parameters: readonly string[]): number {
  const q = parameters.find((one) => /^q\s*=/.test(one));
  if (q === undefined) return 1;
  const value = Number(q.slice(q.indexOf("=") + 1).trim());
  return Number.isFinite(value) ? Math.min(value, 1) : 1;
}
