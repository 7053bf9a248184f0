import { type Config, type EffectiveValue, loadConfig, renderValue } from "@pushpin/config";
import { findConfigFile } from "./plan.ts";
import { parseSubcommand } from "./subcommand.ts";

/** Keys whose values are not for everybody's eyes. */
const SECRETS = new Set(["sig_key", "upstream_key"]);

/** `pushpin config`: the values in force and where each comes from. @returns the exit status. */
export function showConfig(argv: readonly string[]): number {
  const parsed = parseSubcommand(
    "config",
    "$0 [options] [KEY...]\n\nShows the settings in force and where each comes from.",
    argv,
    (parser) =>
      parser
        .option("config", { type: "string", requiresArg: true, describe: "configuration file" })
        .option("all", { type: "boolean", default: false, describe: "also what is at its default" })
        .option("secrets", { type: "boolean", default: false, describe: "show keys as they are" })
        .option("json", { type: "boolean", default: false, describe: "answer with JSON" }),
  );
  if (parsed.kind === "exit") return parsed.code;
  const { options } = parsed;
  let config: Config;
  try {
    config = loadConfig({ file: findConfigFile(options.config), environment: process.env });
  } catch (error) {
    process.stderr.write(`error: ${(error as Error).message}\n`);
    return 1;
  }
  const wanted = parsed.words;
  const values = config
    .effective()
    .filter((one) =>
      wanted.length > 0 ? isNamed(one, wanted) : options.all || one.source !== "default",
    )
    .map((one) => (options.secrets ? one : withoutSecrets(one)));
  process.stdout.write(options.json ? `${JSON.stringify(values, null, 2)}\n` : renderValues(values));
  const problems = config.problems();
  for (const problem of problems) process.stderr.write(`error: ${problem.message}\n`);
  return problems.length > 0 ? 1 : 0;
}

function isNamed({ section, key }: EffectiveValue, wanted: readonly string[]): boolean {
  return wanted.some((one) => one === key || one === section || one === `${section}/${key}`);
}

function withoutSecrets(value: EffectiveValue): EffectiveValue {
  const isSecret = SECRETS.has(value.key) && value.items.some((one) => one !== "");
  return isSecret ? { ...value, items: ["(not shown)"] } : value;
}

/** As a configuration file, each value with its origin in a comment; what has no value is one. */
export function renderValues(values: readonly EffectiveValue[]): string {
  let text = "";
  let section = "";
  for (const one of values) {
    if (one.section !== section) {
      text += `${section === "" ? "" : "\n"}[${one.section}]\n`;
      section = one.section;
    }
    const line = `${one.items.length === 0 ? "#" : ""}${one.key}=${renderValue(one.items)}`;
    text += `${line.padEnd(48)} ; ${one.source}\n`;
  }
  return text;
}
