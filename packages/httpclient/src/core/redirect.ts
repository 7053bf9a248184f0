import { filterHeaders, getHeader } from "@pushpin/http";
import { Packet } from "@pushpin/zhttp";

/** Limit: redirects followed for one request. */
export const REDIRECTS_MAX = 8;
const CODES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Of the body that is not sent again. */
const BODY_HEADERS: ReadonlySet<string> = new Set(["content-length", "content-type"]);
/** Meant for one host. */
const SECRETS: ReadonlySet<string> = new Set(["authorization", "cookie", "proxy-authorization"]);

/** The request that a response leads to; undefined where it leads nowhere. */
export function redirectedRequest(
  request: Packet,
  code: number,
  headers: readonly string[],
): Packet | undefined {
  const location = CODES.has(code) ? getHeader(headers, "location") : undefined;
  if (location === undefined || !URL.canParse(location, request.uri)) return undefined;
  const from = new URL(request.uri);
  const to = new URL(location, from);
  if (to.protocol !== "http:" && to.protocol !== "https:") return undefined;
  const next = Object.assign(new Packet(), request);
  next.uri = to.href;
  if (to.host !== from.host || to.protocol !== from.protocol) {
    next.connectHost = "";
    next.connectPort = 0;
    next.clientCert = "";
    next.clientKey = "";
    next.headers = filterHeaders(next.headers ?? [], (name) => SECRETS.has(name));
  }
  const staysGet = request.method === "GET" || request.method === "HEAD";
  if (
    !staysGet &&
    (code === 303 || ((code === 301 || code === 302) && request.method === "POST"))
  ) {
    next.method = "GET";
    next.body = "";
    next.headers = filterHeaders(next.headers ?? [], (name) => BODY_HEADERS.has(name));
  }
  return next;
}
