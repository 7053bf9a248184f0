import { type OptionKind, readPlainOptions } from "@pushpin/config";
import {
  type DaemonArguments,
  DEFAULT_CONFIG,
  DEFAULT_LEVEL,
  LEVEL_MAX,
  type ParsedArguments,
} from "./daemon-arguments.ts";

const KINDS: Readonly<Record<string, OptionKind>> = {
  config: "string",
  logfile: "string",
  loglevel: "number",
  "ipc-prefix": "string",
  "port-offset": "number",
  route: "array",
  slot: "number",
  "log-json": "boolean",
};

/** Loads the parser that knows everything only for a command line that needs it. */
export async function parseArguments(
  name: string,
  version: string,
  argv: readonly string[],
): Promise<ParsedArguments> {
  const plain = parsePlainArguments(argv);
  if (plain !== undefined) return { kind: "run", arguments: plain };
  const { parseCommandLine } = await import("./command-line.ts");
  return parseCommandLine(name, version, argv);
}

/** What `parseCommandLine` would make of a command line without any finesse; undefined for others. */
export function parsePlainArguments(argv: readonly string[]): DaemonArguments | undefined {
  const given = readPlainOptions(argv, KINDS);
  if (given === undefined) return undefined;
  const text = (name: string) => given.get(name) as string | undefined;
  const count = (name: string) => given.get(name) as number | undefined;
  return {
    config: text("config") ?? DEFAULT_CONFIG,
    logfile: text("logfile"),
    loglevel: Math.min(count("loglevel") ?? DEFAULT_LEVEL, LEVEL_MAX),
    ipcPrefix: text("ipc-prefix"),
    portOffset: count("port-offset"),
    routes: (given.get("route") as readonly string[] | undefined) ?? [],
    slot: count("slot") ?? 0,
    logJson: given.has("log-json"),
  };
}
