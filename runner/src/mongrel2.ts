import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { TcpAddress } from "@pushpin/config";

// Mongrel2 with the original's m2adapter in the place of the connection manager (operations.md 7).

/** Everything the files of both follow from. */
export interface Mongrel2Plan {
  readonly listeners: readonly Mongrel2Listener[];
  readonly rundir: string;
  /** Where logs go; absent: to standard output, and the runner merges them. */
  readonly logdir: string | undefined;
  readonly ipcPrefix: string;
  readonly filePrefix: string;
  readonly certdir: string;
  readonly bufferBytes: number;
  readonly connectionsMax: number;
  readonly level: number;
}

export interface Mongrel2Listener extends Pick<TcpAddress, "host" | "port"> {
  readonly isSecure: boolean;
}

/** Limit: bytes on their way to one client of Mongrel2; more wait. Unit: bytes. */
const M2_CLIENT_BUFFER = 200_000;
/** Limit: requests of the adapter at a time; further ones are closed. Unit: requests. */
const M2_REQUESTS_MAX = 50_000;
/** Descriptors of Mongrel2 beside those of its clients. */
const OTHER_DESCRIPTORS = 1000;

const ipc = ({ rundir, ipcPrefix }: Mongrel2Plan, name: string) =>
  `ipc://${join(rundir, ipcPrefix + name)}`;
const file = ({ rundir, filePrefix }: Mongrel2Plan, name: string) => join(rundir, filePrefix + name);
/** As in its configuration language: strings that JSON can say. */
const text = (value: string) => JSON.stringify(value);

export const outputOf = (plan: Mongrel2Plan, port: number) => file(plan, `mongrel2_${port}.out`);
export const databaseOf = (plan: Mongrel2Plan) => file(plan, "mongrel2.sqlite");
export const adapterConfigOf = (plan: Mongrel2Plan) => file(plan, "m2adapter.conf");

/** `mongrel2.conf`: a server for each listener, all requests to the adapter. */
export function renderMongrel2(plan: Mongrel2Plan): string {
  const { listeners, logdir, filePrefix, level } = plan;
  const log = (name: string, port: number) =>
    text(logdir === undefined ? "/dev/stdout" : join(logdir, `${filePrefix}${name}_${port}.log`));
  let out = "";
  for (const { host, port, isSecure } of listeners) {
    out += `handler_${port} = Handler(
  send_spec=${text(ipc(plan, `m2-out-${port}`))},
  send_ident=${text(`pushpin-m2-${port}`)},
  recv_spec=${text(ipc(plan, `m2-in-${port}`))},
  recv_ident=${text(`pushpin-m2-${port} `)}
)

host_${port} = Host(name="default", routes={"/": handler_${port}})

server_${port} = Server(
  uuid="default_${port}",
  name="default_${port}",
  access_log=${log("access", port)},
  error_log=${log("error", port)},
  error_log_level=${Math.min(level, 3)},
  pid_file=${text(ownPidFileOf(plan, port))},
  control_port=${text(ipc(plan, `m2-control-${port}`))},
  default_host="default",
  bind_addr=${text(host)},
  port=${port},
${isSecure ? "  use_ssl=1,\n" : ""}  hosts=[host_${port}]
)

`;
  }
  const settings: Record<string, string | number> = {
    certdir: `${plan.certdir}/`,
    "upload.stream": 1,
    "download.flow_control": 1,
    "server.daemonize": 0,
    no_clobber_xff: 1,
    "request.relaxed": 1,
    "net.tcp_keepalive": 1,
    "limits.buffer_size": plan.bufferBytes,
    "superpoll.max_fd": plan.connectionsMax + OTHER_DESCRIPTORS,
    "disable.access_logging": level >= 2 ? 0 : 1,
  };
  const lines = Object.entries(settings).map(
    ([key, value]) => `  ${text(key)}: ${typeof value === "string" ? text(value) : value}`,
  );
  out += `settings = {\n${lines.join(",\n")}\n}\n\n`;
  return `${out}servers = [${listeners.map(({ port }) => `server_${port}`).join(", ")}]\n`;
}

/** `m2adapter.conf`: one adapter for all servers. */
export function renderAdapter(plan: Mongrel2Plan): string {
  const each = (name: (port: number) => string) => plan.listeners.map(({ port }) => name(port)).join(",");
  const keys: readonly (readonly [string, string | number])[] = [
    ["m2_in_specs", each((port) => ipc(plan, `m2-out-${port}`))],
    ["m2_out_specs", each((port) => ipc(plan, `m2-in-${port}`))],
    ["m2_send_idents", each((port) => `pushpin-m2-${port}`)],
    ["m2_control_specs", each((port) => ipc(plan, `m2-control-${port}`))],
    ...["zhttp", "zws"].flatMap((kind) => [
      [`${kind}_in_specs`, ipc(plan, `m2${kind}-in`)] as const,
      [`${kind}_out_specs`, ipc(plan, `m2${kind}-out`)] as const,
      [`${kind}_out_stream_specs`, ipc(plan, `m2${kind}-out-stream`)] as const,
    ]),
    ["m2_client_buffer", M2_CLIENT_BUFFER],
    ["max_open_requests", M2_REQUESTS_MAX],
  ];
  return `[General]\n${keys.map(([key, value]) => `${key}=${value}\n`).join("")}`;
}

/** Mongrel2 writes a pid file too, and does not start where it finds itself in one. */
function ownPidFileOf(plan: Mongrel2Plan, port: number): string {
  return file(plan, `mongrel2_${port}.own.pid`);
}

/** @throws Error `Error running: …` if there is no such program. */
export function requireProgram(program: string): void {
  const places = program.includes("/") ? [""] : (process.env["PATH"] ?? "").split(":");
  if (places.some((one) => isExecutable(join(one, program)))) return;
  throw new Error(`Error running: ${program}`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Removes what a Mongrel2 that was killed has left. */
export function clearMongrel2(plan: Mongrel2Plan, port: number): void {
  rmSync(ownPidFileOf(plan, port), { force: true });
}

/**
 * Writes the configuration of all servers and loads it into their database, before the first of
 * them starts. @throws Error `Failure preparing to start …`.
 */
export function loadMongrel2(plan: Mongrel2Plan, m2sh: string): void {
  const config = file(plan, "mongrel2.conf");
  writeFileSync(config, renderMongrel2(plan));
  const done = spawnSync(m2sh, ["load", "-config", config, "-db", databaseOf(plan)], {
    encoding: "utf8",
  });
  if (done.status === 0) return;
  const why = done.error === undefined ? `${done.stderr}${done.stdout}`.trim() : done.error.message;
  throw new Error(`Failure preparing to start: ${m2sh}: ${why}`);
}

/** Writes its configuration; sockets of an earlier one would be taken for its own. */
export function prepareAdapter(plan: Mongrel2Plan): void {
  for (const spec of adapterSockets(plan)) rmSync(spec, { force: true });
  writeFileSync(adapterConfigOf(plan), renderAdapter(plan));
}

export function isAdapterReady(plan: Mongrel2Plan): boolean {
  return adapterSockets(plan).every((one) => existsSync(one));
}

function adapterSockets(plan: Mongrel2Plan): string[] {
  return ["zhttp", "zws"].map((kind) => ipc(plan, `m2${kind}-out-stream`).slice("ipc://".length));
}

/** Whether somebody accepts connections there. */
export function isListening({ host, port }: Mongrel2Listener): Promise<boolean> {
  const to = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return new Promise((resolve) => {
    const socket = connect({ host: to, port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

const SEVERITIES: readonly (readonly [RegExp, string, number])[] = [
  [/\[ERROR\]/, "ERR", 0],
  [/\[WARN\]/, "WARN", 1],
  [/\[INFO\]/, "INFO", 2],
  [/\[DEBUG\]/, "DEBUG", 3],
];

/**
 * A line of Mongrel2's as the others are: `[INFO] timestamp text`. Its access log is info.
 * @returns undefined if it is above the level.
 */
export function relabel(line: string, level: number, timestamp: string): string | undefined {
  const isAccess = /^\d+:/.test(line);
  const [pattern, label, rank] = SEVERITIES.find(([one]) => !isAccess && one.test(line)) ?? [
    undefined,
    "INFO",
    2,
  ];
  if (rank > level) return undefined;
  const said = pattern === undefined ? line : line.slice(line.search(pattern)).replace(/^\[\w+\] /, "");
  return `[${label}] ${timestamp} ${said}`;
}
