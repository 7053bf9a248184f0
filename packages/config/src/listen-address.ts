import { chmodSync, chownSync, readFileSync } from "node:fs";
import { isIP } from "node:net";

export interface TcpAddress {
  readonly kind: "tcp";
  readonly host: string;
  readonly port: number;
}

/** A socket in the file system, with what belongs to it. */
export interface LocalAddress {
  readonly kind: "local";
  readonly path: string;
  readonly mode: number | undefined;
  readonly user: string | undefined;
  readonly group: string | undefined;
}

/** Where to listen. */
export type ListenAddress = TcpAddress | LocalAddress;

/** `8000`, `127.0.0.1:8000`, `[::1]:8000` or `name:8000` (the name is ignored, as in the original). */
export function parseTcpAddress(text: string): TcpAddress | undefined {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):)?(\d{1,5})$/.exec(text.trim());
  if (match === null) return undefined;
  const [, v6, name] = match;
  const port = Number(match[3]);
  if (port > 65_535 || (v6 !== undefined && isIP(v6) !== 6)) return undefined;
  const v4 = name !== undefined && isIP(name) === 4 ? name : "0.0.0.0";
  return { kind: "tcp", host: v6 ?? v4, port };
}

/** `path[?mode=OCTAL&user=NAME&group=NAME]`, percent-decoded. @throws Error `invalid mode: …`. */
export function parseLocalAddress(text: string): LocalAddress {
  const [rawPath = "", query = ""] = (text.split("#")[0] ?? "").split("?", 2);
  const options = new URLSearchParams(query);
  const mode = options.get("mode");
  if (mode !== null && !/^[0-7]{1,4}$/.test(mode)) throw new Error(`invalid mode: ${mode}`);
  return {
    kind: "local",
    path: decodePath(rawPath),
    mode: mode === null ? undefined : Number.parseInt(mode, 8),
    user: options.get("user") ?? undefined,
    group: options.get("group") ?? undefined,
  };
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // a bare percent sign stands for itself
  }
}

/** Mode and owner of a socket that is there. @throws Error if they cannot be set. */
export function setOwner({ path, mode, user, group }: LocalAddress): void {
  if (mode !== undefined) chmodSync(path, mode);
  const uid = lookUp("/etc/passwd", "user", user, path);
  const gid = lookUp("/etc/group", "group", group, path);
  if (uid !== undefined || gid !== undefined) chownSync(path, uid ?? -1, gid ?? -1);
}

function lookUp(
  file: string,
  what: string,
  name: string | undefined,
  path: string,
): number | undefined {
  if (name === undefined) return undefined;
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const [entry, , id] = line.split(":");
    if (entry === name && id !== undefined) return Number(id);
  }
  throw new Error(`failed to set ${what} "${name}" on "${path}": no such ${what}`);
}
