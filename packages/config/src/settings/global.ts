import { availableParallelism } from "node:os";
import {
  boolean,
  integer,
  list,
  optionalText,
  type SettingsOf,
  section,
  text,
  workers,
} from "../settings.ts";

/** What `workers=auto` means. */
export const halfTheCores = () => Math.max(1, Math.floor(availableParallelism() / 2));

export const globalSettings = section("global", {
  include: optionalText(),
  rundir: optionalText(),
  libdir: optionalText(),
  ipc_prefix: text({ default: "pushpin-" }),
  port_offset: integer({ default: 0, min: 0, max: 60_000 }),
  stats_connection_ttl: integer({ default: 120, min: 1, unit: "s" }),
  stats_connection_send: boolean({ default: true }),
  /** Several packets in one ZeroMQ frame between processes of ours. */
  batch_frames: boolean({ default: true }),
});
export type GlobalSettings = SettingsOf<typeof globalSettings>;

export const runnerSettings = section("runner", {
  services: list({ default: ["connmgr", "httpclient", "proxy", "handler"] }),
  http_port: list(),
  https_ports: list(),
  local_ports: list(),
  rundir: optionalText(),
  logdir: text({ default: "" }),
  log_level: list({ default: ["2"] }),
  workers: workers(halfTheCores), // of every role that can have several; 1 if absent
  restart: boolean({ default: true }), // a process that ended is started again
  client_buffer_size: integer({ default: 8192, min: 1024, max: 1_048_576, unit: "bytes" }),
  client_maxconn: integer({ default: 50_000, min: 1, max: 10_000_000, unit: "connections" }),
  allow_compression: boolean({ default: false }),
  client_header_timeout: integer({ default: 30, min: 1, unit: "s" }),
  client_body_timeout: integer({ default: 60, min: 1, unit: "s" }),
  client_idle_timeout: integer({ default: 75, min: 1, unit: "s" }),
  client_write_timeout: integer({ default: 60, min: 1, unit: "s" }),
  client_headers_max: integer({ default: 100, min: 1, max: 1000, unit: "fields" }),
  client_write_buffer_max: integer({ default: 1_048_576, min: 65_536, unit: "bytes" }),
  client_maxconn_per_address: integer({ default: -1, unit: "connections" }),
  client_pipeline_max: integer({ default: 16, min: 1, unit: "requests" }),
  /** Every TCP connection begins with a PROXY protocol header (v1 or v2) of a balancer. */
  client_proxy_protocol: boolean({ default: false }),
  condure_bin: optionalText(),
  zurl_bin: optionalText(),
  mongrel2_bin: optionalText(),
  m2sh_bin: optionalText(),
});
export type RunnerSettings = SettingsOf<typeof runnerSettings>;

export const connmgrSettings = section("connmgr", { workers: workers(halfTheCores) });
export const httpclientSettings = section("httpclient", { workers: workers(halfTheCores) });
