import { type OptionKind, readPlainOptions } from "@pushpin/config";
import type { ParsedRunner, RunnerArguments } from "./runner-arguments.ts";

const KINDS: Readonly<Record<string, OptionKind>> = {
  config: "string",
  logfile: "string",
  "merge-output": "boolean",
  id: "number",
  route: "array",
};

/** Loads the parser that knows everything only for a command line that needs it. */
export async function parseRunnerArguments(
  argv: readonly string[],
  version: string,
): Promise<ParsedRunner> {
  const plain = parsePlainRunnerArguments(argv);
  if (plain !== undefined) return { kind: "run", arguments: plain };
  const { parseRunnerCommandLine } = await import("./command-line.ts");
  return parseRunnerCommandLine(argv, version);
}

/** What `parseRunnerCommandLine` would make of a command line without any finesse; undefined for others. */
export function parsePlainRunnerArguments(argv: readonly string[]): RunnerArguments | undefined {
  const given = readPlainOptions(
    argv.map((one) => (one === "-m" ? "--merge-output" : one)),
    KINDS,
  );
  if (given === undefined) return undefined;
  return {
    config: given.get("config") as string | undefined,
    logfile: given.get("logfile") as string | undefined,
    levels: undefined,
    mergeOutput: given.has("merge-output"),
    port: undefined,
    id: given.get("id") as number | undefined,
    routes: (given.get("route") as readonly string[] | undefined) ?? [],
  };
}
