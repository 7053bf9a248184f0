import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "@pushpin/config";
import type { RunnerArguments } from "./runner-arguments.ts";
import { fileNameOfWorker, findConfigFile, loadOptionsOf, makePlan, runnerPidFile } from "./plan.ts";
import { isAlive } from "./running-child.ts";
import { isFront } from "./services.ts";
import { parseSubcommand } from "./subcommand.ts";

/** Longer than all processes of a small machine may take, each with its last requests. */
const RESTART_MAX_MS = 120_000;
const LOOK_MS = 50;

/**
 * `pushpin restart`: asks a running instance for new processes in the place of all but the
 * connection managers, and waits for them. Clients stay. @returns the exit status.
 */
export async function restart(argv: readonly string[]): Promise<number> {
  const parsed = parseSubcommand(
    "restart",
    "$0 [options]\n\nPuts new processes in the place of all but the connection managers.",
    argv,
    (parser) =>
      parser
        .option("config", { type: "string", requiresArg: true, describe: "configuration file" })
        .option("id", { type: "number", requiresArg: true, describe: "instance number" }),
  );
  if (parsed.kind === "exit") return parsed.code;
  const args: RunnerArguments = {
    config: parsed.options.config,
    id: parsed.options.id,
    logfile: undefined,
    levels: undefined,
    port: undefined,
    mergeOutput: false,
    routes: [],
  };
  try {
    const config = loadConfig(loadOptionsOf(findConfigFile(args.config), args));
    config.check();
    const plan = makePlan(config, args);
    const runner = pidIn(runnerPidFile(plan));
    if (runner === undefined) {
      process.stderr.write(`error: no instance is running in ${plan.rundir}\n`);
      return 1;
    }
    const waiting = new Map<string, { readonly file: string; readonly pid: number | undefined }>();
    for (const worker of plan.workers) {
      if (isFront(worker.service)) continue;
      const pidFile = join(plan.rundir, `${fileNameOfWorker(worker, plan)}.pid`);
      waiting.set(worker.name, { file: pidFile, pid: pidIn(pidFile) });
    }
    process.kill(runner, "SIGUSR2");
    return await untilReplaced(waiting, runner);
  } catch (error) {
    process.stderr.write(`error: ${(error as Error).message}\n`);
    return 1;
  }
}

async function untilReplaced(
  waiting: Map<string, { readonly file: string; readonly pid: number | undefined }>,
  runner: number,
): Promise<number> {
  const endMs = performance.now() + RESTART_MAX_MS;
  while (waiting.size > 0) {
    for (const [name, { file, pid }] of waiting) {
      const now = pidIn(file);
      if (now === undefined || now === pid) continue;
      waiting.delete(name);
      process.stdout.write(`${name}: ${pid ?? "none"} replaced by ${now}\n`);
    }
    if (!isAlive(runner) || performance.now() > endMs) {
      const names = [...waiting.keys()].join(", ");
      process.stderr.write(`error: not replaced: ${names}\n`);
      return 1;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return 0;
}

function pidIn(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, "utf8"));
    return Number.isInteger(pid) && pid > 1 && isAlive(pid) ? pid : undefined;
  } catch {
    return undefined;
  }
}
