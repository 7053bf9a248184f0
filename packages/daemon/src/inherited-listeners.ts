/** The first inherited file descriptor in systemd's protocol. */
const LISTEN_FDS_START = 3;
/** Limit: inherited descriptors looked at. */
const LISTEN_FDS_MAX = 1000;

/**
 * Listening sockets that were opened before this process: by the runner or by systemd
 * (`LISTEN_FDS`, `LISTEN_FDNAMES`; `LISTEN_PID` must be ours, absent or 0). Names such as `http-0`,
 * `https-0`, `unix-0`, `control`; a name that comes again gets its place behind it.
 */
export function inheritedListeners(
  env: Readonly<Record<string, string | undefined>> = process.env,
  pid = process.pid,
): Map<string, number> {
  const listeners = new Map<string, number>();
  const owner = Number(env.LISTEN_PID ?? 0);
  const count = Number(env.LISTEN_FDS ?? 0);
  if (owner !== 0 && owner !== pid) return listeners;
  if (!Number.isInteger(count) || count < 1 || count > LISTEN_FDS_MAX) return listeners;
  const names = (env.LISTEN_FDNAMES ?? "").split(":");
  for (let i = 0; i < count; i += 1) {
    const name = names[i] || "fd";
    listeners.set(listeners.has(name) ? `${name}-${i}` : name, LISTEN_FDS_START + i);
  }
  return listeners;
}
