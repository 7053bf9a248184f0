/** The first inherited file descriptor in systemd's protocol. */
const LISTEN_FDS_START = 3;

/**
 * Listening sockets that were opened before this process: by the runner or by systemd
 * (`LISTEN_FDS`, `LISTEN_FDNAMES`; `LISTEN_PID` must be ours, absent or 0). Name to descriptor.
 */
export function inheritedListeners(
  env: Readonly<Record<string, string | undefined>> = process.env,
  pid = process.pid,
): Map<string, number> {
  const listeners = new Map<string, number>();
  const owner = Number(env["LISTEN_PID"] ?? 0);
  const count = Number(env["LISTEN_FDS"] ?? 0);
  if ((owner !== 0 && owner !== pid) || !Number.isInteger(count) || count < 1 || count > 1000)
    return listeners;
  // Names may hold colons (addresses), so ours are divided by blanks where the runner wrote them.
  const text = env["LISTEN_FDNAMES"] ?? "";
  const names = text.split(text.includes(" ") || !text.includes("::") ? /[ ]/ : /:/);
  for (let i = 0; i < count; i += 1) listeners.set(names[i] || `fd${i}`, LISTEN_FDS_START + i);
  return listeners;
}
