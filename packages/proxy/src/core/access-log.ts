import { getAllHeaders, getHeader, parseParameters } from "@pushpin/http";
import type { AccessEntry } from "./relay/ports.ts";

export interface AccessLogSettings {
  readonly logFrom: boolean;
  readonly logUserAgent: boolean;
}

/** One line for one request, in the original's form (proxy.md 7.1). */
export function renderAccessLine(entry: AccessEntry, settings: AccessLogSettings): string {
  const { headers, outcome } = entry;
  let line = `${entry.method} ${entry.uri}`;
  if (entry.target !== undefined) line += ` -> ${entry.target}${entry.isOverHttp ? "[http]" : ""}`;
  if (settings.logFrom && entry.address !== "") line += ` from=${entry.address}`;
  const referer = getHeader(headers, "referer");
  if (referer) line += ` ref=${referer}`;
  if (entry.route?.hasExplicitId) line += ` route=${entry.route.id}`;
  line += typeof outcome === "string" ? ` ${outcome}` : ` code=${outcome.code} ${outcome.bytes}`;
  if (entry.isRetry) line += " retry";
  if (entry.shared !== undefined) line += ` shared=${entry.shared}`;
  const userAgent = settings.logUserAgent ? getHeader(headers, "user-agent") : undefined;
  if (userAgent) line += ` ua=${userAgent}`;
  for (const last of getAllHeaders(headers, "grip-last")) {
    const parsed = parseParameters(last);
    const id = parsed?.parameters.find(([name]) => name === "last-id")?.[1];
    if (parsed !== undefined && id !== undefined) line += ` #${parsed.value}=${id}`;
  }
  return line;
}
