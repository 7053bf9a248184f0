import { readFileSync } from "node:fs";
import { levelOf, loadConfig } from "@pushpin/config";
import { type LogFile, type LogLevel, openLog, renderTimestamp } from "@pushpin/log";
import { parseRunnerArguments } from "./arguments.ts";
import { findConfigFile, loadOptionsOf, makeDirectory, makePlan, runnerPidFile } from "./plan.ts";
import { findRunner } from "./running-child.ts";
import type { RunnerArguments } from "./runner-arguments.ts";
import { Supervisor } from "./supervisor.ts";

// Whoever reads our output may go; the processes stay.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});

const argv = process.argv.slice(2);
const toolStatus = await runCommand(argv);
if (toolStatus !== undefined) process.exitCode = toolStatus;
else {
  const parsed = await parseRunnerArguments(argv, packageVersion());
  if (parsed.kind === "exit") {
    (parsed.code === 0 ? process.stdout : process.stderr).write(`${parsed.text}\n`);
    process.exitCode = parsed.code;
  } else await run(parsed.arguments);
}

/** Undefined where the arguments name no command: then all processes are run. */
async function runCommand([name = "", ...rest]: readonly string[]): Promise<number | undefined> {
  if (!/^[a-z]/.test(name)) return undefined;
  // A start loads none of these.
  if (name === "config") return (await import("./config-command.ts")).showConfig(rest);
  if (name === "restart") return (await import("./restart-command.ts")).restart(rest);
  return (await import("./tools.ts")).runTool([name, ...rest]);
}

function packageVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

async function run(args: RunnerArguments): Promise<void> {
  let log: LogFile | undefined;
  let supervisor: Supervisor;
  try {
    // Until the configuration is read, only the command line can say how much is logged.
    log = openRunnerLog(args, levelOf(args.levels ?? new Map(), ["runner"]));
    const file = findConfigFile(args.config);
    if (args.config === undefined) log.info(`using config: ${file}`);
    const config = loadConfig(loadOptionsOf(file, args));
    config.check();
    const plan = makePlan(config, args);
    log.close();
    log = openRunnerLog(args, levelOf(plan.levels, ["runner"]));
    if (config.hasOldRundir)
      log.warn("rundir in [runner] section is deprecated. put in [global]");
    if (config.ignoredVariables.length > 0)
      log.info(`variables of Kubernetes ignored: ${config.ignoredVariables.join(", ")}`);
    const runner = findRunner(runnerPidFile(plan));
    if (runner !== undefined)
      throw new Error(`already running: pid ${runner} (${runnerPidFile(plan)})`);
    makeDirectory(plan.rundir);
    if (!args.mergeOutput) makeDirectory(plan.logdir);
    supervisor = new Supervisor(plan, config, args, log);
  } catch (error) {
    const { message } = error as Error;
    if (log === undefined)
      process.stdout.write(`[ERR] ${renderTimestamp(Date.now())} ${message}\n`);
    log?.error(message);
    log?.close();
    process.exitCode = 1;
    return;
  }
  await supervisor.start();
}

function openRunnerLog(args: RunnerArguments, level: number): LogFile {
  return openLog({
    level: level as LogLevel,
    ...(args.logfile === undefined ? {} : { file: args.logfile }),
  });
}
