import yargs from "yargs";
import { DEFAULT_CONFIG, DEFAULT_LEVEL, LEVEL_MAX, type ParsedArguments } from "./daemon-arguments.ts";

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

const isCount = (value: number | undefined) =>
  value === undefined || (Number.isInteger(value) && value >= 0);

/** The whole of it, with help and words for what is wrong. */
export function parseCommandLine(
  name: string,
  version: string,
  argv: readonly string[],
): ParsedArguments {
  let failure: string | undefined;
  const parser = yargs(normaliseDashes(argv))
    .version(false)
    .help(false)
    .scriptName(`pushpin-${name}`)
    .usage("$0 [options]")
    .option("config", {
      alias: "c",
      type: "string",
      requiresArg: true,
      default: DEFAULT_CONFIG,
      describe: "configuration file",
    })
    .option("logfile", {
      alias: "l",
      type: "string",
      requiresArg: true,
      describe: "log to this file instead of standard output",
    })
    .option("loglevel", {
      alias: "L",
      type: "number",
      requiresArg: true,
      default: DEFAULT_LEVEL,
      describe: "0 error, 1 warn, 2 info, 3 debug, 4 trace",
    })
    .option("verbose", { type: "boolean", default: false, describe: "same as --loglevel=3" })
    .option("ipc-prefix", {
      type: "string",
      requiresArg: true,
      describe: "prefix of internal endpoints",
    })
    .option("port-offset", {
      type: "number",
      requiresArg: true,
      describe: "added to every tcp port of internal endpoints",
    })
    .option("route", {
      type: "string",
      array: true,
      requiresArg: true,
      nargs: 1,
      describe: "a line of a routes file; replaces the file",
    })
    .option("slot", { type: "number", requiresArg: true, default: 0, describe: "worker number" })
    .option("log-json", { type: "boolean", default: false, describe: "log JSON lines" })
    .option("quiet-check", { type: "boolean", hidden: true })
    .strictOptions()
    .option("help", { alias: "h", type: "boolean", default: false, describe: "show this help" })
    .option("version", {
      alias: ["v", "V"],
      type: "boolean",
      default: false,
      describe: "show the version",
    })
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      failure ??= message ?? error?.message ?? "bad arguments";
    });
  const parsed = parser.parseSync();
  if (parsed.version) return { kind: "exit", code: 0, text: `pushpin-${name} ${version}` };
  let help = "";
  parser.showHelp((text) => {
    help = text;
  });
  if (parsed.help) return { kind: "exit", code: 0, text: help };
  const loglevel = last(parsed.loglevel);
  const portOffset = last(parsed.portOffset);
  const slot = last(parsed.slot);
  if (failure === undefined && !(Number.isInteger(loglevel) && loglevel >= 0))
    failure = "log level must be greater than or equal to 0";
  if (failure === undefined && !isCount(portOffset))
    failure = "port offset must be greater than or equal to 0";
  if (failure === undefined && !isCount(slot))
    failure = "slot must be greater than or equal to 0";
  if (failure !== undefined)
    return { kind: "exit", code: 1, text: `error: ${inOwnWords(failure)}\n\n${help}` };
  return {
    kind: "run",
    arguments: {
      config: last(parsed.config),
      logfile: last(parsed.logfile),
      loglevel: parsed.verbose ? 3 : Math.min(loglevel, LEVEL_MAX),
      ipcPrefix: last(parsed.ipcPrefix),
      portOffset,
      routes: parsed.route ?? [],
      slot,
      logJson: parsed.logJson,
    },
  };
}

/** An option given twice is a list, whatever its type says; the last one counts. */
function last<T>(value: T): T {
  return Array.isArray(value) ? (value.at(-1) as T) : value;
}
