import type { AccessEntry } from "./relay/ports.ts";

export interface AccessLogSettings {
  readonly logFrom: boolean;
  readonly logUserAgent: boolean;
}

/** One line for one request, in the original's form (proxy.md 7.1). */
export function renderAccessLine(entry: AccessEntry, settings: AccessLogSettings): string {
  let line = `${entry.method} ${entry.uri}`;
  if (entry.target !== undefined) line += ` -> ${entry.target}`;
  if (settings.logFrom && entry.address !== "") line += ` from=${entry.address}`;
  if (entry.referer !== undefined) line += ` ref=${entry.referer}`;
  if (entry.route?.hasExplicitId) line += ` route=${entry.route.id}`;
  const { outcome } = entry;
  line += typeof outcome === "string" ? ` ${outcome}` : ` code=${outcome.code} ${outcome.bytes}`;
  if (entry.isRetry) line += " retry";
  if (settings.logUserAgent && entry.userAgent !== undefined) line += ` ua=${entry.userAgent}`;
  return line;
}
