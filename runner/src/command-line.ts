import { type LogLevels, parseLogLevels } from "@pushpin/config";
import yargs from "yargs";
import type { ParsedRunner } from "./runner-arguments.ts";

/** The original accepts long options with one dash. */
export function normaliseDashes(argv: readonly string[]): string[] {
  return argv.map((one) => (/^-[a-zA-Z][a-zA-Z-]+/.test(one) ? `-${one}` : one));
}

/** Faults of a command line, as they are worded everywhere in this project. */
export function inOwnWords(failure: string): string {
  const unknown = /Unknown arguments?: ([^,]+)/.exec(failure);
  if (unknown !== null) return `Unknown option '${unknown[1]}'.`;
  const missing = /Not enough arguments following: (\S+)/.exec(failure);
  return missing === null ? failure : `Missing value after '--${missing[1]}'.`;
}

/** The whole of it, with help and words for what is wrong. */
export function parseRunnerCommandLine(argv: readonly string[], version: string): ParsedRunner {
  let failure: string | undefined;
  const parser = yargs(normaliseDashes(argv))
    .version(false)
    .help(false)
    .scriptName("pushpin")
    .usage(
      "$0 [options]\n$0 check|command|config|explain|publish|restart|stats|subs --help\n\nStarts Pushpin: connection manager, HTTP client, proxy and handler.",
    )
    .option("config", { type: "string", requiresArg: true, describe: "configuration file" })
    .option("logfile", {
      type: "string",
      requiresArg: true,
      describe: "the runner's own log goes to this file",
    })
    .option("loglevel", {
      type: "string",
      requiresArg: true,
      describe: "N or name:N, separated by commas; 0 error … 4 trace",
    })
    .option("verbose", { type: "boolean", default: false, describe: "same as --loglevel=3" })
    .option("merge-output", {
      alias: "m",
      type: "boolean",
      default: false,
      describe: "the processes log to standard output",
    })
    .option("port", {
      type: "string",
      requiresArg: true,
      describe: "[addr:]port, one listener in place of those configured",
    })
    .option("id", {
      type: "number",
      requiresArg: true,
      describe: "instance number: own names, control ports + 10 each",
    })
    .option("route", {
      type: "string",
      array: true,
      nargs: 1,
      requiresArg: true,
      describe: "a line of a routes file, in place of the file",
    })
    .option("help", {
      alias: ["h", "help-all"],
      type: "boolean",
      default: false,
      describe: "show this help",
    })
    .option("version", {
      alias: "v",
      type: "boolean",
      default: false,
      describe: "show the version",
    })
    .strictOptions()
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      failure ??= message ?? error?.message ?? "bad arguments";
    });
  const given = parser.parseSync();
  const parsed = {
    ...given,
    config: last(given.config),
    logfile: last(given.logfile),
    loglevel: last(given.loglevel),
    port: last(given.port),
    id: last(given.id),
  };
  if (parsed.version) return { kind: "exit", code: 0, text: `pushpin ${version}` };
  let help = "";
  parser.showHelp((text) => {
    help = text;
  });
  if (parsed.help) return { kind: "exit", code: 0, text: help };
  let levels: LogLevels | undefined;
  if (failure !== undefined) {
    failure = inOwnWords(failure);
  }
  try {
    if (parsed.loglevel !== undefined) levels = parseLogLevels(parsed.loglevel.split(","));
    if (parsed.verbose) levels = new Map([["", 3]]);
  } catch (error) {
    failure ??= (error as Error).message;
  }
  if (parsed.port !== undefined && !(Number(parsed.port.replace(/^.*:/, "")) >= 1))
    failure ??= "port must be greater than or equal to 1";
  if (parsed.id !== undefined && !(Number.isInteger(parsed.id) && parsed.id >= 0))
    failure ??= "id must be greater than or equal to 0";
  if (failure !== undefined) return { kind: "exit", code: 1, text: `error: ${failure}\n\n${help}` };
  return {
    kind: "run",
    arguments: {
      config: parsed.config,
      logfile: parsed.logfile,
      levels,
      mergeOutput: parsed.mergeOutput,
      port: parsed.port,
      id: parsed.id,
      routes: parsed.route ?? [],
    },
  };
}

/** An option given twice is a list, whatever its type says; the last one counts. */
function last<T>(value: T): T {
  return Array.isArray(value) ? (value.at(-1) as T) : value;
}
