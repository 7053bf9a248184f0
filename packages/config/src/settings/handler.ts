import {
  boolean,
  choice,
  integer,
  list,
  octal,
  optionalText,
  type SettingsOf,
  section,
  text,
} from "../settings.ts";

export const handlerSettings = section("handler", {
  ipc_file_mode: octal({ about: "Mode of the sockets that the handler makes." }),
  push_in_spec: list({ about: "PULL socket for items." }),
  push_in_sub_specs: list({
    about: "SUB sockets for items; the first is bound, or all are connected.",
  }),
  push_in_sub_spec: list({ about: "One more of `push_in_sub_specs`, as older files have it." }),
  push_in_sub_connect: boolean({
    default: false,
    about: "Connect the SUB socket to publishers, instead of waiting for them.",
  }),
  push_in_http_addr: text({ default: "127.0.0.1", about: "Address of the control port." }),
  push_in_http_port: integer({
    default: -1,
    min: -1,
    max: 65_535,
    about: "Control port: publishing by HTTP. -1 is none.",
  }),
  push_in_http_max_headers_size: integer({
    default: 10_000,
    min: 1,
    unit: "bytes",
    about: "Headers of a request to the control port; more is answered with 400.",
  }),
  push_in_http_max_body_size: integer({
    default: 1_000_000,
    min: 1,
    unit: "bytes",
    about: "Body of a request to the control port; more is answered with 400.",
  }),
  push_in_max_headers_size: optionalText({
    about: "Not used: the key above under the name that 1.36 read.",
  }),
  push_in_max_body_size: optionalText({
    about: "Not used: the key above under the name that 1.36 read.",
  }),
  stats_spec: list({ about: "PUB socket for statistics." }),
  command_spec: list({ about: "Socket for commands." }),
  state_spec: list({ about: "Socket for a session store." }),
  message_rate: integer({
    default: -1,
    min: -1,
    unit: "deliveries/s",
    about: "Deliveries in a second; -1 is without end.",
  }),
  message_hwm: integer({
    default: -1,
    min: -1,
    unit: "deliveries",
    about:
      "Deliveries of one route that may wait for `message_rate`; more are dropped. -1 is " +
      "without end.",
  }),
  message_block_size: integer({
    default: -1,
    min: -1,
    unit: "bytes",
    about:
      "Counts a delivery as one for each block of this size; -1 counts every delivery as one.",
  }),
  message_wait: integer({
    default: 5000,
    min: 0,
    unit: "ms",
    about: "An item waits so long for the one its `prev-id` names.",
  }),
  id_cache_ttl: integer({
    default: 0,
    min: 0,
    unit: "s",
    about: "An item whose id was seen in this time is dropped; 0 remembers none.",
  }),
  update_on_first_subscription: boolean({
    default: true,
    about:
      "Ask the backend of a stream for what it may have missed when a channel has its first " +
      "subscriber.",
  }),
  connection_subscription_max: integer({
    default: 20,
    min: 0,
    unit: "channels",
    about: "Channels of one connection.",
  }),
  subscription_linger: integer({
    default: 60,
    min: 0,
    unit: "s",
    about: "A channel without subscribers is kept for so long, for long polls that come back.",
  }),
  stats_connection_ttl: optionalText({ about: "Not used here: it belongs to `[global]`." }),
  stats_subscription_ttl: integer({
    default: 60,
    min: 1,
    unit: "s",
    about: "A subscription that is not reported again is forgotten after this.",
  }),
  stats_report_interval: integer({
    default: 10,
    min: 0,
    unit: "s",
    about: "Time between two reports; 0 is none, and no counts for Prometheus.",
  }),
  stats_format: choice(
    ["tnetstring", "json", ""],
    "tnetstring",
    "Of the statistics: `tnetstring` or `json`.",
  ),
  prometheus_port: optionalText({
    about: "Where metrics can be read: `PORT`, `ADDRESS:PORT` or `ipc://PATH`.",
  }),
  prometheus_prefix: text({ default: "", about: "Begins the name of every metric." }),
  share_all: boolean({ default: false, about: "Let equal requests to a backend be one." }),
  recover_concurrency: integer({
    default: 10,
    min: 1,
    unit: "requests",
    about: "Requests at a time that ask backends for what was missed. Ours only.",
  }),
  proxy_inspect_specs: list({ about: "The proxy's `handler_inspect_spec`." }),
  proxy_inspect_spec: list({ about: "`proxy_inspect_specs` in older files." }),
  proxy_accept_specs: list({ about: "The proxy's `handler_accept_spec`." }),
  proxy_accept_spec: list({ about: "`proxy_accept_specs` in older files." }),
  proxy_retry_out_specs: list({ about: "The proxy's `handler_retry_in_spec`." }),
  proxy_retry_out_spec: list({ about: "`proxy_retry_out_specs` in older files." }),
  proxy_ws_control_init_specs: list({ about: "The proxy's `handler_ws_control_init_specs`." }),
  proxy_ws_control_stream_specs: list({ about: "The proxy's `handler_ws_control_stream_specs`." }),
  proxy_ws_control_in_spec: list({
    about: "Not used: the dialect of 1.36 between proxy and handler.",
  }),
  proxy_ws_control_out_spec: list({
    about: "Not used: the dialect of 1.36 between proxy and handler.",
  }),
  proxy_stats_specs: list({ about: "The proxy's `stats_spec`." }),
  proxy_stats_spec: list({ about: "`proxy_stats_specs` in older files." }),
  proxy_command_spec: list({ about: "The proxy's `command_spec`." }),
  proxy_intreq_out_specs: list({ about: "The proxy's `intreq_in_specs`." }),
  proxy_intreq_out_stream_specs: list({ about: "The proxy's `intreq_in_stream_specs`." }),
  proxy_intreq_in_specs: list({ about: "The proxy's `intreq_out_specs`." }),
  connmgr_in_stream_specs: list({
    about: "Not used here: `proxy/connmgr_in_stream_specs` counts for the handler too.",
  }),
  connmgr_out_specs: list({
    about: "Not used here: `proxy/connmgr_out_specs` counts for the handler too.",
  }),
  condure_in_stream_specs: list({
    about: "Not used here: `proxy/condure_in_stream_specs` counts for the handler too.",
  }),
  condure_out_specs: list({
    about: "Not used here: `proxy/condure_out_specs` counts for the handler too.",
  }),
  m2a_in_stream_specs: list({
    about: "Not used here: `proxy/m2a_in_stream_specs` counts for the handler too.",
  }),
  m2a_out_specs: list({
    about: "Not used here: `proxy/m2a_out_specs` counts for the handler too.",
  }),
});
export type HandlerSettings = SettingsOf<typeof handlerSettings>;
