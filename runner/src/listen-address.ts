import { isIP } from "node:net";

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `8000`, `127.0.0.1:8000`, `[::1]:8000` or `name:8000` (the name is ignored, as in the original). */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text.trim());
  if (match === null) return undefined;
  const port = Number(match[3]);
  if (port > 65_535) return undefined;
  if (match[1] !== undefined) return isIP(match[1]) === 6 ? { host: match[1], port } : undefined;
  const host = match[2];
  if (host === "") return undefined;
  return { host: host !== undefined && isIP(host) === 4 ? host : "0.0.0.0", port };
}

export interface LocalAddress {
  readonly path: string;
  readonly mode: number | undefined;
  readonly user: string | undefined;
  readonly group: string | undefined;
}

/** `path[?mode=OCTAL&user=NAME&group=NAME]`, percent-decoded. @throws Error `invalid mode: …`. */
export function parseLocalAddress(text: string): LocalAddress {
  const [rawPath = "", query = ""] = (text.split("#")[0] ?? "").split("?", 2);
  const options = new URLSearchParams(query);
  const modeText = options.get("mode");
  if (modeText !== null && !/^[0-7]{1,4}$/.test(modeText))
    throw new Error(`invalid mode: ${modeText}`);
  let path = rawPath;
  try {
    path = decodeURIComponent(rawPath);
  } catch {
    // A bare percent sign stands for itself.
  }
  return {
    path,
    mode: modeText === null ? undefined : Number.parseInt(modeText, 8),
    user: options.get("user") ?? undefined,
    group: options.get("group") ?? undefined,
  };
}
