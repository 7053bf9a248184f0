import { spawn } from "node:child_process";
import type { Environment } from "./environment.ts";

/** The first inherited file descriptor in systemd's protocol. */
const LISTEN_FDS_START = 3;
/** Limit: inherited descriptors looked at. Unit: descriptors. */
const LISTEN_FDS_MAX = 1000;

/**
 * Listening sockets that were opened before this process: by the runner or by systemd
 * (`LISTEN_FDS`, `LISTEN_FDNAMES`; `LISTEN_PID` must be ours, absent or 0). Names such as `http-0`,
 * `https-0`, `unix-0`, `control`; a name that comes again gets its place behind it.
 */
export function inheritedListeners(
  env: Environment = process.env,
  pid = process.pid,
): Map<string, number> {
  const listeners = new Map<string, number>();
  const owner = Number(env["LISTEN_PID"] ?? 0);
  const count = Number(env["LISTEN_FDS"] ?? 0);
  if (owner !== 0 && owner !== pid) return listeners;
  if (!Number.isInteger(count) || count < 1 || count > LISTEN_FDS_MAX) return listeners;
  const names = (env["LISTEN_FDNAMES"] ?? "").split(":");
  for (let i = 0; i < count; i += 1) {
    const name = names[i] || "fd";
    listeners.set(listeners.has(name) ? `${name}-${i}` : name, LISTEN_FDS_START + i);
  }
  return listeners;
}

const COPY = "/";

/** Name of a further descriptor of the socket `name`. */
export function copyName(name: string, number: number): string {
  return `${name}${COPY}${number}`;
}

/** The sockets of `inheritedListeners`, each with all its descriptors. */
export function groupCopies(
  listeners: ReadonlyMap<string, number>,
): { readonly name: string; readonly fds: readonly number[] }[] {
  const groups = new Map<string, number[]>();
  for (const [copy, fd] of listeners) {
    const name = copy.split(COPY, 1)[0] as string;
    const fds = groups.get(name);
    if (fds === undefined) groups.set(name, [fd]);
    else fds.push(fd);
  }
  return [...groups].map(([name, fds]) => ({ name, fds }));
}

/**
 * Tells systemd how we are: `READY=1`, `WATCHDOG=1`, `STOPPING=1`. Node has no datagram sockets of
 * the unix kind, so systemd's own tool sends it; the unit needs `NotifyAccess=all`. Nothing is done
 * where nobody asked (`NOTIFY_SOCKET` unset), and a failure is nobody's concern.
 */
export function notifyServiceManager(
  states: readonly string[],
  env: Environment = process.env,
): void {
  if (env["NOTIFY_SOCKET"] === undefined) return;
  const child = spawn("systemd-notify", [`--pid=${process.pid}`, ...states], { stdio: "ignore" });
  child.on("error", () => {});
  child.unref();
}

/** How often systemd wants to hear from us: half of what it allows; undefined if it does not care. */
export function watchdogIntervalMs(
  env: Environment = process.env,
  pid = process.pid,
): number | undefined {
  const allowedUs = Number(env["WATCHDOG_USEC"] ?? 0);
  const owner = Number(env["WATCHDOG_PID"] ?? pid);
  if (env["NOTIFY_SOCKET"] === undefined || owner !== pid || !(allowedUs > 0)) return undefined;
  return Math.max(500, Math.floor(allowedUs / 2000));
}
