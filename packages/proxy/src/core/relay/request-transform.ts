import { GRIP_FEATURES } from "@pushpin/grip";
import {
  connectionTokens,
  getAllHeaders,
  getHeader,
  type HeaderList,
  HOP_BY_HOP,
  removeHeader,
  splitList,
} from "@pushpin/http";
import type { Route, Target } from "../routes/route-table.ts";

/** What of the configuration decides how requests are changed. */
export interface TransformSettings {
  readonly acceptForwardedProtocol: boolean;
  readonly setForwardedProtocol: "both" | "proto-only" | "none";
  readonly forwardedFor: readonly string[];
  readonly forwardedForTrusted: readonly string[];
  readonly cdnLoop: string;
  readonly acceptPushpinRoute: boolean;
  /** Lower-case names of headers that mark themselves. */
  readonly originalHeadersNeedMark: readonly string[];
}

export interface TransformInput {
  readonly uri: string;
  readonly headers: HeaderList;
  readonly peerAddress: string;
  readonly trustedClient: boolean;
  /** A request of the handler: its `Grip-` headers are its own. */
  readonly isInternal: boolean;
  /** Ready token, or empty for none. */
  readonly signature: string;
  readonly sid: string | undefined;
  readonly lastIds: ReadonlyMap<string, string> | undefined;
}

const REMOVED: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "accept-encoding",
  "content-encoding",
  "transfer-encoding",
  "expect",
]);
const MARK = "eb9bf0f5-";
/** The header that asks for an explanation; it concerns the proxy it was sent to, and no other. */
export const EXPLAIN_HEADER = "pushpin-explain";

export interface UriParts {
  readonly scheme: string;
  readonly authority: string;
  readonly host: string;
  readonly target: string;
}

/** The last one: a request's URI is looked at several times in a row. */
let lastUri = "";
let lastParts: UriParts | undefined;

export function splitUri(uri: string): UriParts {
  if (lastParts === undefined || uri !== lastUri) {
    lastParts = split(uri);
    lastUri = uri;
  }
  return lastParts;
}

function split(uri: string): UriParts {
  const scheme = uri.slice(0, uri.indexOf("://"));
  const rest = uri.slice(scheme.length + 3);
  const slash = rest.search(/[/?]/);
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  return {
    scheme,
    authority,
    host: authority
      .replace(/:\d*$/, "")
      .replace(/^\[|\]$/g, "")
      .toLowerCase(),
    target: slash < 0 ? "/" : rest.slice(slash),
  };
}

/** The request as the backend gets it (proxy.md 3.4), but for what depends on the target. */
export function transformHeaders(
  input: TransformInput,
  route: Route,
  settings: TransformSettings,
): HeaderList {
  let headers = input.headers;
  for (let i = 0; i < route.headers.length; i += 2) {
    const name = route.headers[i] as string;
    headers = removeHeader(headers, name.toLowerCase());
    if (route.headers[i + 1] !== "") headers = [...headers, name, route.headers[i + 1] as string];
  }
  if (route.origHeaders && !input.trustedClient) headers = markOriginals(headers, settings);
  const tokens = connectionTokens(headers);
  const stripProtocol =
    settings.acceptForwardedProtocol || settings.setForwardedProtocol !== "none";
  const out: HeaderList = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    const lower = name.toLowerCase();
    if (REMOVED.has(lower) || tokens.includes(lower)) continue;
    // The HTTP client makes the handshake's own headers anew.
    if (HOP_BY_HOP.has(lower) && !(lower === "te" && headers[i + 1] === "trailers")) continue;
    if (lower === "pushpin-route" && settings.acceptPushpinRoute) continue;
    if (lower.startsWith("grip-") && !input.trustedClient && !input.isInternal) continue;
    if (lower === "x-forwarded-for" || lower === EXPLAIN_HEADER) continue;
    if (isLookalike(lower) && !input.trustedClient && !input.isInternal) continue;
    if (lower === "cdn-loop" && settings.cdnLoop !== "") continue;
    if (stripProtocol && (lower === "x-forwarded-proto" || lower === "x-forwarded-protocol"))
      continue;
    if (!route.origHeaders && lower.startsWith(MARK)) continue;
    out.push(name, headers[i + 1] as string);
  }
  if (settings.cdnLoop !== "")
    out.push("CDN-Loop", [...getAllHeaders(headers, "cdn-loop"), settings.cdnLoop].join(", "));
  if (!input.trustedClient && !route.noGrip) {
    if (input.signature !== "") out.push("Grip-Sig", input.signature);
    out.push("Grip-Feature", GRIP_FEATURES);
    if (input.sid !== undefined && input.sid !== "") out.push("Grip-Session-Id", input.sid);
    for (const [channel, id] of input.lastIds ?? [])
      out.push("Grip-Last", `${channel}; last-id=${id}`);
  }
  const { scheme } = splitUri(input.uri);
  if (settings.setForwardedProtocol !== "none" && (scheme === "https" || scheme === "wss")) {
    out.push("X-Forwarded-Proto", scheme);
    if (settings.setForwardedProtocol === "both") out.push("X-Forwarded-Protocol", scheme);
  }
  const forwarded = forwardedFor(
    getAllHeaders(headers, "x-forwarded-for"),
    input.trustedClient ? settings.forwardedForTrusted : settings.forwardedFor,
    input.peerAddress,
  );
  if (forwarded.length > 0) out.push("X-Forwarded-For", forwarded.join(", "));
  return out;
}

/**
 * `Grip_Sig`, `X_Forwarded_For`: backends that get headers as environment variables (CGI, WSGI,
 * PHP, Rack) cannot tell these from what we say.
 */
function isLookalike(lower: string): boolean {
  if (!lower.includes("_")) return false;
  const name = lower.replaceAll("_", "-");
  return name.startsWith("grip-") || name.startsWith("x-forwarded-");
}

/** Copies what the client sent under marked names, behind everything else (proxy.md 3.8). */
function markOriginals(headers: HeaderList, settings: TransformSettings): HeaderList {
  const plain: HeaderList = [];
  const marked: HeaderList = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    const value = headers[i + 1] as string;
    const lower = name.toLowerCase();
    if (lower.startsWith(MARK)) {
      marked.push(name, value);
      continue;
    }
    plain.push(name, value);
    if (!settings.originalHeadersNeedMark.includes(lower)) marked.push(MARK + name, value);
  }
  return [...plain, ...marked];
}

/**
 * The client's address as the applicable rules believe it: the first forwarded value if not all
 * are cut off and it is an address, else the peer's (proxy.md 3.7).
 */
export function logicalAddress(
  headers: readonly string[],
  rules: readonly string[],
  peerAddress: string,
): string {
  if (rules.includes("truncate:0")) return peerAddress;
  const value = getHeader(headers, "x-forwarded-for");
  const first = value === undefined ? undefined : splitList(value)[0];
  if (first === undefined || !/^[0-9a-fA-F:.]+$/.test(first) || !/[:.]/.test(first))
    return peerAddress;
  return first;
}

/** Rules `truncate:N` (keep the last N) and `append`, in order (proxy.md 3.7). */
export function forwardedFor(
  values: readonly string[],
  rules: readonly string[],
  peerAddress: string,
): string[] {
  let list = values.flatMap(splitList);
  for (const rule of rules) {
    if (rule === "append") {
      if (peerAddress !== "") list.push(peerAddress);
      continue;
    }
    const keep = /^truncate:(-?\d+)$/.exec(rule)?.[1];
    if (keep === undefined) break;
    if (Number(keep) >= 0) list = Number(keep) === 0 ? [] : list.slice(-Number(keep));
  }
  return list;
}

/** The path after the route's edits, or undefined if it is none any more. */
export function editTarget(target: string, route: Route): string | undefined {
  if (route.pathRemove === 0 && route.replaceBegin === undefined) return target;
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  const edited = (route.replaceBegin ?? "") + path.slice(route.pathRemove);
  if (edited !== "" && !edited.startsWith("/")) return undefined;
  return (edited === "" ? "/" : edited) + (query < 0 ? "" : target.slice(query));
}

/** URI and headers for one target. */
export function addressTo(
  target: Target,
  route: Route,
  uri: string,
  headers: HeaderList,
  isWebSocket: boolean,
): { uri: string; headers: HeaderList } | undefined {
  const parts = splitUri(uri);
  const path = editTarget(parts.target, route);
  if (path === undefined) return undefined;
  const authority = target.asHost || route.asHost || parts.authority;
  const scheme = `${isWebSocket ? "ws" : "http"}${target.ssl ? "s" : ""}`;
  const at = headers.findIndex((one, i) => i % 2 === 0 && one.toLowerCase() === "host");
  let named = headers;
  if (at < 0) named = ["Host", authority, ...headers];
  else if (headers[at + 1] !== authority) {
    named = [...headers];
    named[at + 1] = authority;
  }
  return { uri: `${scheme}://${authority}${path}`, headers: named };
}
