import { spawnSync } from "node:child_process";

/** Those of `names` that are no programs here. */
export function missingPrograms(...names: readonly string[]): string[] {
  return names.filter((name) => spawnSync("sh", ["-c", `command -v ${name}`]).status !== 0);
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
