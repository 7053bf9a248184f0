import { connectionTokens, filterHeaders, type HeaderList } from "@pushpin/http";
import type { Packet } from "@pushpin/zhttp";

/** What is connected to and asked; equal `origin` texts share connections. */
export interface RequestPlan {
  /** Everything that tells connections apart: where to, TLS and how it is verified. */
  readonly origin: string;
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  /** Name the certificate is checked against. */
  readonly servername: string;
  readonly path: string;
  readonly headers: HeaderList;
}

const DROPPED: ReadonlySet<string> = new Set([
  "host",
  "connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
  "proxy-connection",
  "expect",
  "te",
  "trailer",
]);

/** Takes the first packet of a session apart; undefined where uri, scheme or method cannot be used. */
export function planRequest(packet: Packet): RequestPlan | undefined {
  const match = /^(https?|wss?):\/\/([^/?#]*)([^#]*)/i.exec(packet.uri);
  if (match === null) return undefined;
  const [, scheme = "", authority = "", target = ""] = match;
  const secure = scheme.toLowerCase() === "https" || scheme.toLowerCase() === "wss";
  const parsed = /^(?:\[([0-9a-fA-F:.]+)\]|([^:@[\]]+))(?::(\d{1,5}))?$/.exec(authority);
  if (parsed === null) return undefined;
  const uriHost = parsed[1] ?? parsed[2] ?? "";
  const host = packet.connectHost !== "" ? packet.connectHost : uriHost;
  const uriPort =
    parsed[3] === undefined || parsed[3] === "" ? (secure ? 443 : 80) : Number(parsed[3]);
  const port = packet.connectPort !== 0 ? packet.connectPort : uriPort;
  if (host === "" || port < 1 || port > 65_535) return undefined;
  const servername = packet.trustConnectHost ? host : uriHost;
  const tls = secure
    ? `${servername}|${packet.ignoreTlsErrors}|${packet.clientCert}${packet.clientKey}`
    : "";
  const named = packet.headers ?? [];
  const tokens = connectionTokens(named);
  return {
    // By name too, as browsers do: what one host did to a connection never meets another's request.
    origin: `${secure ? "s" : "p"}|${host}|${port}|${authority}|${packet.ignorePolicies}|${tls}`,
    secure,
    host,
    port,
    servername,
    path: target === "" ? "/" : target.startsWith("?") ? `/${target}` : target,
    headers: [
      "Host",
      authority,
      ...filterHeaders(named, (name) => DROPPED.has(name) || tokens.includes(name)),
    ],
  };
}
