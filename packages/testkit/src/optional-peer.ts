import { accessSync, constants } from "node:fs";
import { delimiter, join, sep } from "node:path";

/**
 * The search path of the system. npm puts the programs of a project in front of it, and some of ours have the names of
 * the original's.
 */
export function systemPath(): string {
  const directories = (process.env["PATH"] ?? "").split(delimiter);
  return directories.filter((one) => one !== "" && !one.split(sep).includes("node_modules")).join(delimiter);
}

/** The file of a program of the system; undefined where it is not installed. */
export function systemProgram(name: string): string | undefined {
  return systemPath()
    .split(delimiter)
    .map((one) => join(one, name))
    .find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Those of `names` that are no programs here. */
export function missingPrograms(...names: readonly string[]): string[] {
  return names.filter((name) => systemProgram(name) === undefined);
}

/**
 * Whether the tests of `what` have to be left out because something they need is not installed, which is said loudly.
 *
 * @throws where the environment says `CI=true`: there everything is installed and nothing may be left out.
 */
export function leavesOut(what: string, missing: readonly string[]): boolean {
  if (missing.length === 0) return false;
  const text = `${what}: ${missing.join(", ")} not installed`;
  if (process.env["CI"] === "true") throw new Error(text);
  console.warn(`\n*** ${text}; SKIPPED ***\n`);
  return true;
}
