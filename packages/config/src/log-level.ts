/** Names of the roles, in `services` and in levels of the log: ours and the original's. */
export const ROLE_NAMES = {
  connmgr: ["connmgr", "condure"],
  httpclient: ["httpclient", "zurl"],
  proxy: ["proxy", "pushpin-proxy"],
  handler: ["handler", "pushpin-handler"],
} as const;
export type Role = keyof typeof ROLE_NAMES;

/** Levels by service; the empty name is the default. */
export type LogLevels = ReadonlyMap<string, number>;

/** `2`, `2,proxy:3`. @throws Error in the original's words. */
export function parseLogLevels(items: readonly string[]): LogLevels {
  const levels = new Map<string, number>();
  for (const item of items) {
    if (item === "") throw new Error("log level component cannot be empty");
    const colon = item.indexOf(":");
    const name = colon < 0 ? "" : item.slice(0, colon);
    if (colon === 0) throw new Error("log level component name cannot be empty");
    const text = item.slice(colon + 1);
    const level = /^\d+$/.test(text) ? Number(text) : -1;
    if (level < 0) {
      const whose = name === "" ? "log level" : `log level for service ${name}`;
      throw new Error(`${whose} must be greater than or equal to 0`);
    }
    levels.set(name, Math.min(level, 4));
  }
  return levels;
}

/** The level of a service, under its own name or an older one; else the default. */
export function levelOf(levels: LogLevels, names: readonly string[]): number {
  for (const name of names) {
    const level = levels.get(name);
    if (level !== undefined) return level;
  }
  return levels.get("") ?? 2;
}
