/** Where to listen: an address and port, or a path with what belongs to it. */
export type ListenAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | {
      readonly kind: "local";
      readonly path: string;
      readonly mode: number | undefined;
      readonly user: string | undefined;
      readonly group: string | undefined;
    };

const ENTRY = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):)?(\d{1,5})$/;

/** `8000`, `127.0.0.1:8000`, `[::1]:8000`, `name:8000` (the name is ignored). @throws Error otherwise. */
export function parseTcpAddress(entry: string): ListenAddress {
  const match = ENTRY.exec(entry.trim());
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new Error(`failed to parse listen: invalid port ${entry}`);
  const [, v6, name] = match;
  const isV4 = name !== undefined && /^\d{1,3}(?:\.\d{1,3}){3}$/.test(name);
  return { kind: "tcp", host: v6 ?? (isV4 ? name : "0.0.0.0"), port };
}

/** `path[?mode=OCTAL&user=NAME&group=NAME]`, percent-decoded. @throws Error `invalid mode: …`. */
export function parseLocalAddress(entry: string): ListenAddress {
  const [rawPath = "", query = ""] = (entry.split("#")[0] as string).split("?", 2);
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
