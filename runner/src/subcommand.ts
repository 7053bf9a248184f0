import yargs, { type Argv } from "yargs";
import { inOwnWords, normaliseDashes } from "./command-line.ts";

/** What became of a subcommand's arguments: options to go on with, or an exit status, and all is said. */
export type Subcommand<T> =
  | { readonly kind: "run"; readonly options: T; readonly words: readonly string[] }
  | { readonly kind: "exit"; readonly code: number };

/** Reads the arguments of `pushpin NAME …`, and answers `--help` and faults. */
export function parseSubcommand<T>(
  name: string,
  usage: string,
  argv: readonly string[],
  declare: (parser: Argv) => Argv<T>,
): Subcommand<T> {
  let failure: string | undefined;
  const parser = declare(
    yargs(normaliseDashes(argv))
      .version(false)
      .help(false)
      .scriptName(`pushpin ${name}`)
      .usage(usage)
      .option("help", { alias: "h", type: "boolean", default: false, describe: "show this help" }),
  )
    .strictOptions()
    .parserConfiguration({ "duplicate-arguments-array": false })
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      failure ??= message ?? error?.message ?? "bad arguments";
    });
  const options = parser.parseSync() as T & {
    readonly help: boolean;
    readonly _: readonly (string | number)[];
  };
  let help = "";
  parser.showHelp((text) => {
    help = text;
  });
  if (options.help) {
    process.stdout.write(`${help}\n`);
    return { kind: "exit", code: 0 };
  }
  if (failure === undefined) return { kind: "run", options, words: options._.map(String) };
  process.stderr.write(`error: ${inOwnWords(failure)}\n\n${help}\n`);
  return { kind: "exit", code: 1 };
}
