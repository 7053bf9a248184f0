import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Config, loadConfig } from "@pushpin/config";
import { type LogFile, type LogLevel, openLog } from "@pushpin/log";
import { parseRunnerArguments, type RunnerArguments } from "./arguments.ts";
import { Child } from "./child.ts";
import { type OpenListener, openLocal, openTcp } from "./listeners.ts";
import { levelOf } from "./log-level.ts";
import { commandOf, findConfigFile, makeDirectory, makePlan, type Plan } from "./plan.ts";
import { fileNameOf, type Service } from "./services.ts";
import { runTool } from "./tools.ts";

const version = (
  JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  }
).version;
const toolStatus = runTool(process.argv.slice(2));
const parsed = parseRunnerArguments(process.argv.slice(2), version);
if (toolStatus !== undefined) process.exitCode = toolStatus;
else if (parsed.kind === "exit") {
  (parsed.code === 0 ? process.stdout : process.stderr).write(`${parsed.text}\n`);
  process.exitCode = parsed.code;
} else run(parsed.arguments);

function run(args: RunnerArguments): void {
  const file = args.logfile === undefined ? {} : { file: args.logfile };
  let log: LogFile;
  try {
    log = openLog({
      level: (args.levels === undefined ? 2 : levelOf(args.levels, ["runner"])) as LogLevel,
      ...file,
    });
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 1;
    return;
  }
  try {
    const configFile = findConfigFile(args.config);
    if (args.config === undefined) log.info(`using config: ${configFile}`);
    const config = loadConfig({
      file: configFile,
      ...(args.id === undefined ? {} : { ipcPrefix: `p${args.id}-` }),
      ...(args.id === undefined || args.id === 0 ? {} : { portOffset: args.id * 10 }),
    });
    const plan = makePlan(config, args);
    makeDirectory(plan.rundir);
    if (!args.mergeOutput) makeDirectory(plan.logdir);
    for (const { file: where, line, section, key } of config.unknownKeys)
      log.warn(`${where}:${line}: unknown key ${section}/${key}`);
    supervise(plan, config, args, log);
  } catch (error) {
    log.error((error as Error).message);
    log.close();
    process.exitCode = 1;
  }
}

/** The listening sockets each service inherits. */
function openListeners(plan: Plan): ReadonlyMap<Service, OpenListener[]> {
  const clients = [
    ...plan.http.map((one, i) => openTcp(`http-${i}`, one)),
    ...plan.https.map((one, i) => openTcp(`https-${i}`, one)),
    ...plan.local.map((one, i) => openLocal(`unix-${i}`, one)),
  ];
  const control = plan.control === undefined ? [] : [openTcp("control", plan.control)];
  return new Map([
    ["connmgr", clients],
    ["handler", control],
  ]);
}

function supervise(plan: Plan, config: Config, args: RunnerArguments, log: LogFile): void {
  const listeners = openListeners(plan);
  let stopping = false;
  const children = plan.services.map(
    (service) =>
      new Child({
        name: service,
        command: commandOf(service, plan, config, args),
        pidFile: join(plan.rundir, `${plan.filePrefix}${fileNameOf(service)}.pid`),
        listeners: listeners.get(service) ?? [],
        log,
        write: (line) => {
          log.flush(); // so that lines of both stay in order
          process.stdout.write(`${line}\n`);
        },
        onStartFailed: () => void stop(1),
      }),
  );

  const stop = async (code: number): Promise<void> => {
    if (stopping) return;
    stopping = true;
    log.info("stopping...");
    if (!args.mergeOutput) for (const child of children) log.info(`stopping ${child.name}`);
    await Promise.all(children.map((child) => child.stop()));
    for (const group of listeners.values()) for (const listener of group) listener.close();
    log.debug("stopped");
    log.close();
    process.exit(code);
  };
  const onSignal = () => {
    if (stopping) {
      for (const child of children) child.kill();
      log.close();
      process.exit(0);
    }
    void stop(0);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  process.on("SIGHUP", () => {
    log.info("reloading");
    log.reopen();
    for (const child of children) child.signal("SIGHUP");
  });

  for (const child of children) {
    if (!args.mergeOutput) log.info(`starting ${child.name}`);
    child.start();
  }
  void Promise.all(children.map((child) => child.ready)).then(() => {
    if (stopping) return;
    log.info("started");
    log.flush();
  });
}
