import {
  boolean,
  integer,
  list,
  octal,
  optionalText,
  type SettingsOf,
  section,
  text,
  workers,
} from "../settings.ts";
import { halfTheCores } from "./global.ts";

export const proxySettings = section("proxy", {
  workers: workers({
    auto: halfTheCores,
    about: "Number of proxies, in place of `runner/workers`.",
  }),
  routesfile: text({
    default: "routes",
    about: "Routes; relative to this file. Changes are noticed.",
  }),
  debug: boolean({
    default: false,
    about: "Reasons of errors in the responses to clients. A route may say so itself.",
  }),
  auto_cross_origin: boolean({ default: false, about: "CORS headers and JSON-P for every route." }),
  accept_x_forwarded_protocol: boolean({
    default: false,
    about: "Believe `X-Forwarded-Protocol` and `X-Forwarded-Proto` of clients.",
  }),
  set_x_forwarded_protocol: text({
    default: "",
    about: "`true` sets both headers, `proto-only` sets `X-Forwarded-Proto`, anything else none.",
  }),
  x_forwarded_for: list({
    about:
      "What happens to `X-Forwarded-For`: `truncate:N` keeps the last N, `append` adds the client.",
  }),
  x_forwarded_for_trusted: list({ about: "The same for requests with a valid `Grip-Sig`." }),
  orig_headers_need_mark: list({
    about:
      "Where a route says `orig_headers`: headers of the client that are not repeated for the " +
      "backend unless they carry the mark.",
  }),
  accept_pushpin_route: boolean({
    default: false,
    about: "Let a request name its route in `Pushpin-Route`.",
  }),
  cdn_loop: text({
    default: "",
    about: "Our token in `CDN-Loop`, added to requests for backends; empty adds none.",
  }),
  log_from: boolean({ default: false, about: "The client's address in the request log." }),
  log_user_agent: boolean({
    default: false,
    about: "The client's `User-Agent` in the request log.",
  }),
  sig_iss: text({ default: "pushpin", about: "`iss` of the token in `Grip-Sig`." }),
  sig_key: text({
    default: "",
    about:
      "Key that requests to backends are signed with: text, `base64:TEXT` or `file:PATH`; " +
      "empty signs nothing.",
  }),
  upstream_key: text({
    default: "",
    about: "Key of a GRIP proxy in front of this one; its requests are trusted.",
  }),
  sockjs_url: text({ default: "", about: "Where the SockJS page loads its script from." }),
  updates_check: optionalText({ about: "Not used: the service it asked is gone." }),
  organization_name: optionalText({ about: "Not used: it was for `updates_check`." }),
  max_open_requests: integer({
    default: -1,
    min: -1,
    unit: "requests",
    about: "Requests at a time; more wait. -1 is without end.",
  }),
  ipc_file_mode: octal({
    about: "Mode of the sockets that the proxy, the connection manager and the HTTP client make.",
  }),
  stats_report_interval: integer({
    default: 10,
    min: 0,
    unit: "s",
    about: "Time between two reports to the handler; 0 is none.",
  }),
  stats_connections_max_ttl: integer({
    default: 60,
    min: 1,
    unit: "s",
    about: "Not used yet: how long the handler may rely on counts.",
  }),
  prometheus_port: optionalText({ about: "Not used: metrics are at `handler/prometheus_port`." }),
  prometheus_prefix: text({
    default: "",
    about: "Not used: metrics are at `handler/prometheus_port`.",
  }),
  connmgr_in_specs: list({ about: "Connection manager: first packets of requests." }),
  connmgr_in_stream_specs: list({ about: "Connection manager: later packets of requests." }),
  connmgr_out_specs: list({ about: "Connection manager: responses." }),
  condure_in_specs: list({
    about: "Connection manager, under its old name: first packets of requests.",
  }),
  condure_in_stream_specs: list({
    about: "Connection manager, under its old name: later packets of requests.",
  }),
  condure_out_specs: list({ about: "Connection manager, under its old name: responses." }),
  m2a_in_specs: list({ about: "Mongrel2 adapter: first packets of requests." }),
  m2a_in_stream_specs: list({ about: "Mongrel2 adapter: later packets of requests." }),
  m2a_out_specs: list({ about: "Mongrel2 adapter: responses." }),
  connmgr_client_out_specs: list({ about: "HTTP client: first packets of requests." }),
  connmgr_client_out_stream_specs: list({ about: "HTTP client: later packets of requests." }),
  connmgr_client_in_specs: list({ about: "HTTP client: responses." }),
  condure_client_out_specs: list({
    about: "HTTP client, under its old name: first packets of requests.",
  }),
  condure_client_out_stream_specs: list({
    about: "HTTP client, under its old name: later packets of requests.",
  }),
  condure_client_in_specs: list({ about: "HTTP client, under its old name: responses." }),
  zurl_out_specs: list({ about: "Zurl, if it is one of `services`: first packets of requests." }),
  zurl_out_stream_specs: list({
    about: "Zurl, if it is one of `services`: later packets of requests.",
  }),
  zurl_in_specs: list({ about: "Zurl, if it is one of `services`: responses." }),
  handler_inspect_spec: list({ about: "Where the handler is asked what a request may share." }),
  handler_accept_spec: list({ about: "Where responses with instructions go to the handler." }),
  handler_retry_in_spec: list({ about: "Where the handler gives requests back." }),
  handler_ws_control_init_specs: list({ about: "First packets about WebSockets for the handler." }),
  handler_ws_control_stream_specs: list({ about: "Later packets about WebSockets." }),
  handler_ws_control_in_spec: list({
    about: "Not used: the dialect of 1.36 between proxy and handler.",
  }),
  handler_ws_control_out_spec: list({
    about: "Not used: the dialect of 1.36 between proxy and handler.",
  }),
  stats_spec: list({ about: "Where the proxy reports to the handler." }),
  command_spec: list({ about: "Where the handler commands the proxy." }),
  intreq_in_specs: list({ about: "The handler's own requests: first packets." }),
  intreq_in_stream_specs: list({ about: "The handler's own requests: later packets." }),
  intreq_out_specs: list({ about: "The handler's own requests: responses." }),
});
export type ProxySettings = SettingsOf<typeof proxySettings>;
