/** What the value of an option is; an `array` may be given several times. */
export type OptionKind = "string" | "number" | "boolean" | "array";

export type OptionValue = string | number | boolean | readonly string[];

/**
 * Reads a command line that says everything in the plainest way: `--name=value`, `--name value` and
 * `--flag`, long names only, every name known. That is how processes are started by the runner and by
 * a service manager, and it must not cost them a library for command lines.
 *
 * @returns the values by name; undefined for everything else (short and abbreviated names, a
 * missing or odd value, a fault, a question for help), which is left to the full parser.
 */
export function readPlainOptions(
  argv: readonly string[],
  kinds: Readonly<Record<string, OptionKind>>,
): ReadonlyMap<string, OptionValue> | undefined {
  const values = new Map<string, OptionValue>();
  for (let i = 0; i < argv.length; i += 1) {
    const [, name = "", given] = /^--([a-z][a-z-]*)(?:=(.*))?$/s.exec(argv[i] as string) ?? [];
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (kind === undefined) return undefined;
    if (kind === "boolean") {
      if (given !== undefined) return undefined;
      values.set(name, true);
      continue;
    }
    const text = given ?? argv[(i += 1)] ?? "";
    // Quotes, and what looks like an option itself, have meanings of their own.
    if (!/^[^-"'].*[^"']$|^[^-"']$/s.test(text)) return undefined;
    if (kind === "array") values.set(name, [...((values.get(name) as string[]) ?? []), text]);
    else if (values.has(name)) return undefined;
    else if (kind === "string") values.set(name, text);
    else if (/^(?:0|[1-9]\d{0,8})$/.test(text)) values.set(name, Number(text));
    else return undefined;
  }
  return values;
}
