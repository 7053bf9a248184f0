import { connectionTokens, filterHeaders, getAllHeaders, type HeaderList } from "@pushpin/http";
import { detach } from "@pushpin/tnetstrings";
import type { Packet } from "@pushpin/zhttp";

/** What is connected to and asked; equal `target` texts share connections. */
export interface RequestPlan {
  /** Everything that tells connections apart: where to, TLS and how it is verified. */
  readonly target: string;
  readonly secure: boolean;
  /** Host of the uri, without brackets. */
  readonly uriHost: string;
  readonly host: string;
  readonly port: number;
  /** Path of a unix socket in the place of host and port. */
  readonly socketPath: string | undefined;
  /** Name the certificate is checked against; asked for is always that of the uri. */
  readonly verifiedName: string;
  readonly path: string;
  readonly headers: HeaderList;
}

const DROPPED: ReadonlySet<string> = new Set([
  "host",
  "connection",
  "keep-alive",
  "transfer-encoding",
  "content-length",
  "upgrade",
  "proxy-connection",
  "expect",
  "te",
  "trailer",
]);
const URI = /^(https?|wss?):\/\/([^/?#]*)([^#]*)/i;
const AUTHORITY = /^(?:\[([0-9a-fA-F:.]+)\]|([^:@[\]\s]+))(?::(\d{0,5}))?$/;
/** Nothing that could end a request line. */
const PATH = /^[\x21-\xff]*$/;
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** A body would follow, or a tunnel open, that nobody here speaks. */
const UNUSABLE_METHODS: ReadonlySet<string> = new Set(["CONNECT"]);

/**
 * Takes the first packet of a session apart; undefined where uri, scheme or method cannot be used.
 * A `connect-host` that begins with a slash is the path of a unix socket.
 */
export function planRequest(packet: Packet): RequestPlan | undefined {
  const match = URI.exec(packet.uri);
  if (match === null) return undefined;
  const [, scheme = "", authority = "", target = ""] = match;
  const isSocket = scheme.charCodeAt(0) === 119 || scheme.charCodeAt(0) === 87; // ws, wss
  if (!isSocket && (!METHOD.test(packet.method) || UNUSABLE_METHODS.has(packet.method)))
    return undefined;
  const secure = scheme.length === (isSocket ? 3 : 5);
  const parsed = AUTHORITY.exec(authority);
  if (parsed === null || !PATH.test(target)) return undefined;
  const uriHost = parsed[1] ?? parsed[2] ?? "";
  const host = packet.connectHost !== "" ? packet.connectHost : uriHost;
  const uriPort = parsed[3] === undefined || parsed[3] === "" ? (secure ? 443 : 80) : +parsed[3];
  const port = packet.connectPort !== 0 ? packet.connectPort : uriPort;
  if (port < 1 || port > 65_535) return undefined;
  const socketPath = host.startsWith("/") ? host : undefined;
  const verifiedName = packet.trustConnectHost && socketPath === undefined ? host : uriHost;
  const tls = secure
    ? `${verifiedName}|${packet.ignoreTlsErrors}|${packet.clientCert}${packet.clientKey}`
    : "";
  return {
    // By name too, as browsers do: what one host did to a connection never meets another's request.
    target: `${secure ? "s" : "p"}|${host}|${port}|${authority}|${packet.ignorePolicies}|${tls}`,
    secure,
    uriHost,
    host,
    port,
    socketPath,
    verifiedName,
    path: target === "" ? "/" : target.charCodeAt(0) === 63 ? `/${target}` : target,
    headers: requestHeaders(packet, authority),
  };
}

function requestHeaders(packet: Packet, authority: string): HeaderList {
  const named = packet.headers ?? [];
  const tokens = connectionTokens(named);
  const kept = filterHeaders(named, (name) => DROPPED.has(name) || tokens.includes(name));
  const headers = ["Host", authority, ...kept];
  // The length of a whole body is known here; that of a streamed one only by the client's word.
  const length = packet.more ? announcedLength(named) : undefined;
  if (length !== undefined) headers.push("Content-Length", length);
  return headers;
}

/** The one length a client named for its body; contradicting ones are none. */
function announcedLength(headers: HeaderList): string | undefined {
  const [length, ...others] = getAllHeaders(headers, "content-length");
  if (length === undefined || !/^\d{1,15}$/.test(length)) return undefined;
  return others.every((one) => one === length) ? detach(length) : undefined;
}
