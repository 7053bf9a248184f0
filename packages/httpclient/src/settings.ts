import { boolean, choice, integer, list, type SettingsOf, section } from "@pushpin/config";

export const httpClientSettings = section("httpclient", {
  /** What happens to addresses that neither list names. */
  default_policy: choice<"allow" | "deny">(["allow", "deny"], "allow"),
  /** Exact texts, texts with one `*`, networks such as `10.0.0.0/8`. */
  allow: list(),
  deny: list(),
  /** Loopback, private and link-local networks are denied, unless `allow` names them. */
  deny_internal: boolean({ default: true }),
  /** Offer HTTP/2 to backends over TLS. */
  http2: boolean({ default: false }),
  /** A backend that transfers nothing for this long is given up. */
  timeout: integer({ default: 1800, min: 1, unit: "s" }),
  /** Requests and WebSockets open at a time. */
  max_open_requests: integer({ default: 100_000, min: 1, unit: "requests" }),
});
export type HttpClientSettings = SettingsOf<typeof httpClientSettings>;
