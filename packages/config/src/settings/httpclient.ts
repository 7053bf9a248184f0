import {
  boolean,
  choice,
  integer,
  list,
  type SettingsOf,
  section,
  workers,
} from "../settings.ts";
import { halfTheCores } from "./global.ts";

export const httpclientSettings = section("httpclient", {
  workers: workers({
    auto: halfTheCores,
    about: "Number of HTTP clients, in place of `runner/workers`.",
  }),
  heap_max: integer({
    default: 0,
    min: 0,
    max: 1_048_576,
    unit: "MiB",
    about: "`runner/heap_max` for HTTP clients; 0: as it is there.",
  }),
  default_policy: choice<"allow" | "deny">(
    ["allow", "deny"],
    "allow",
    "What happens to addresses that neither `allow` nor `deny` names.",
  ),
  allow: list({
    about:
      "Hosts and addresses that may be connected to: exact, with one `*`, or networks such as " +
      "`10.0.0.0/8`.",
  }),
  deny: list({ about: "Hosts and addresses that may not be connected to, written in the same way." }),
  deny_internal: boolean({
    default: true,
    about: "Loopback, private and link-local networks are denied, unless `allow` names them.",
  }),
  http2: boolean({
    default: true,
    about: "Speak HTTP/2 with backends that choose it in the TLS handshake.",
  }),
  connect_timeout: integer({
    default: 10_000,
    min: 1,
    unit: "ms",
    about:
      "Name lookup, connection and TLS handshake of a backend take no longer than this together.",
  }),
  timeout: integer({
    isLive: true,
    default: 1800,
    min: 1,
    unit: "s",
    about: "A backend that transfers nothing for this long is given up.",
  }),
  max_open_requests: integer({
    isLive: true,
    default: 100_000,
    min: 1,
    unit: "requests",
    about: "Requests and WebSockets to backends at a time; more fail at once.",
  }),
});
export type HttpclientSettings = SettingsOf<typeof httpclientSettings>;
