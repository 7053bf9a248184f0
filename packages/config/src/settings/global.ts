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
  include: optionalText({
    about:
      "One more file, whose keys count where this one has none; relative to this file. " +
      "`internal.conf` is the shipped one.",
  }),
  rundir: optionalText({
    about: "Directory of sockets and pid files; `{rundir}` in other values.",
  }),
  libdir: optionalText({
    about:
      "Where `internal.conf` lies, instead of beside the programs; `{libdir}` in other values.",
  }),
  ipc_prefix: text({
    default: "pushpin-",
    about:
      "Begins the names of sockets; `{ipc_prefix}` in other values. Instances on one machine " +
      "need different ones.",
  }),
  port_offset: integer({
    default: 0,
    min: 0,
    max: 60_000,
    about: "Added to every port in a `tcp://` address, and to `push_in_http_port`.",
  }),
  stats_connection_ttl: integer({
    default: 120,
    min: 1,
    unit: "s",
    about: "A connection that is not reported again is forgotten after this.",
  }),
  stats_connection_send: boolean({
    default: true,
    about: "Whether there are statistics packets for single connections.",
  }),
  batch_frames: boolean({
    default: true,
    about:
      "Several packets in one ZeroMQ frame between our own processes (`docs/wire/batches.md`); " +
      "off, each packet is sent in a frame of its own, as the original does. Ours only.",
  }),
  takeover: boolean({
    default: true,
    about:
      "Clients that are held survive the death of proxy and handler (`docs/crash-survival.md`); off, they are " +
      "disconnected then, and the memory that would take is saved. Ours only.",
  }),
});
export type GlobalSettings = SettingsOf<typeof globalSettings>;

export const runnerSettings = section("runner", {
  services: list({
    default: ["connmgr", "httpclient", "proxy", "handler"],
    about:
      "What `pushpin` starts. The original's names are known too; `zurl` and `mongrel2` also " +
      "choose the sockets.",
  }),
  http_port: list({ about: "Where clients connect: `PORT`, `ADDRESS:PORT` or `[ADDRESS6]:PORT`." }),
  https_ports: list({
    about:
      "The same with TLS. Certificates are in `runner/certs` beside this file: `NAME.crt` and " +
      "`NAME.key`, with `default_PORT` for other names.",
  }),
  local_ports: list({
    about: "Unix sockets for clients: `PATH[?mode=OCTAL&user=NAME&group=NAME]`.",
  }),
  rundir: optionalText({ about: "The same key of `[global]`, in old files." }),
  logdir: text({
    default: "",
    about: "Directory of the log files; relative to the current directory, which is the default.",
  }),
  log_level: list({ isLive: true,
    default: ["2"],
    about: "0 error, 1 warning, 2 information, 3 debug, 4 trace. `NAME:LEVEL` is for one service.",
  }),
  workers: workers({
    auto: halfTheCores,
    about:
      "Processes of every role that can have several: the connection manager, the HTTP client and " +
      "the proxy. A number, or `auto` for half the cores; 1 if absent.",
  }),
  restart: boolean({
    default: true,
    about: "Start a process again that ended by itself; otherwise everything ends with it.",
  }),
  hang_timeout: integer({
    default: 10,
    min: 0,
    max: 3600,
    unit: "s",
    about:
      "A process that says nothing for longer (it is stopped, or caught in a loop) is ended and replaced; " +
      "a connection manager after 60 s at the earliest. 0: never, for debuggers.",
  }),
  start_timeout: integer({
    default: 60,
    min: 0,
    max: 3600,
    unit: "s",
    about:
      "A process that has started and is not ready after this time is ended and started again; at the first start " +
      "everything ends with it. 0: never, for debuggers.",
  }),
  heap_max: integer({
    default: 0,
    min: 0,
    max: 1_048_576,
    unit: "MiB",
    about:
      "Memory for JavaScript objects of each process; one that needs more ends and is replaced. 0: what " +
      "Node.js allows by itself.",
  }),
  client_buffer_size: integer({
    default: 8192,
    min: 1024,
    max: 1_048_576,
    unit: "bytes",
    about:
      "A request's head may be this long; also how far a backend may be ahead of a client (128 " +
      "KiB at least, where the proxy is ours).",
  }),
  client_maxconn: integer({
    default: 50_000,
    min: 1,
    max: 10_000_000,
    unit: "connections",
    about:
      "Client connections at a time; more wait until one has gone. Several connection managers " +
      "have equal shares.",
  }),
  allow_compression: boolean({ isLive: true,
    default: false,
    about: "Compress WebSocket messages of clients that offer it (permessage-deflate).",
  }),
  client_header_timeout: integer({ isLive: true,
    default: 30,
    min: 1,
    unit: "s",
    about: "A request's head has to be complete by then.",
  }),
  client_body_timeout: integer({ isLive: true,
    default: 60,
    min: 1,
    unit: "s",
    about: "The next piece of a request's body has to come by then.",
  }),
  client_idle_timeout: integer({ isLive: true,
    default: 75,
    min: 1,
    unit: "s",
    about: "A connection between two requests is closed after this.",
  }),
  client_write_timeout: integer({ isLive: true,
    default: 60,
    min: 1,
    unit: "s",
    about: "A client that takes nothing is dropped after this.",
  }),
  client_headers_max: integer({ isLive: true,
    default: 100,
    min: 1,
    max: 1000,
    unit: "fields",
    about: "Header fields of one request; more are answered with 431.",
  }),
  client_write_buffer_max: integer({ isLive: true,
    default: 1_048_576,
    min: 65_536,
    unit: "bytes",
    about: "Bytes that wait for one client before what serves it is held back.",
  }),
  client_maxconn_per_address: integer({
    default: -1,
    unit: "connections",
    about:
      "Client connections from one address, or from one IPv6 network of 64 bits; -1 is without end.",
  }),
  client_pipeline_max: integer({ isLive: true,
    default: 16,
    min: 1,
    unit: "requests",
    about: "Requests that one connection may send ahead; then it is not read.",
  }),
  client_proxy_protocol: boolean({
    default: false,
    about:
      "Every TCP connection begins with a PROXY protocol header (version 1 or 2) of a balancer.",
  }),
  condure_bin: optionalText({
    about: "Not used: the original's connection manager; ours is started.",
  }),
  zurl_bin: optionalText({ about: "Not used: the original's HTTP client; it is started by hand." }),
  mongrel2_bin: optionalText({ about: "Program of Mongrel2, where `services` has it. Default: `mongrel2`." }),
  m2sh_bin: optionalText({ about: "Program that loads Mongrel2's configuration. Default: `m2sh`." }),
});
export type RunnerSettings = SettingsOf<typeof runnerSettings>;

export const connmgrSettings = section("connmgr", {
  workers: workers({
    auto: halfTheCores,
    about: "Number of connection managers, in place of `runner/workers`.",
  }),
  heap_max: integer({
    default: 0,
    min: 0,
    max: 1_048_576,
    unit: "MiB",
    about: "`runner/heap_max` for connection managers; 0: as it is there.",
  }),
  drain_timeout: integer({
    default: 2,
    min: 0,
    max: 3600,
    unit: "s",
    about:
      "When the process is told to stop, answers under way have this long; streams and " +
      "WebSockets (1001) are closed in the first half of it, one after another.",
  }),
});
