import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Installation, ROOT, TestProcess, until } from "@pushpin/testkit";

/** A process of an installation, by the name of its pid file. */
export type Victim = "handler" | "proxy" | "httpclient" | "connmgr" | "runner" | "everything";
export type Way = "SIGKILL" | "SIGSTOP" | "exception" | "memory limit" | "pushpin restart";

export interface Death {
  readonly victim: Victim;
  readonly way: Way;
  /** Which of several workers. */
  readonly slot?: number;
}

/** With `preload.mjs` in it, a process ends so. */
const SIGNALS: Readonly<Record<Exclude<Way, "pushpin restart">, NodeJS.Signals>> = {
  SIGKILL: "SIGKILL",
  SIGSTOP: "SIGSTOP", // and nobody wakes it up
  exception: "SIGURG",
  "memory limit": "SIGIO",
};

/** Lets the installation's processes die in all ways. */
export const DEADLY_ENVIRONMENT = {
  NODE_OPTIONS: `--max-old-space-size=64 --import=${new URL("preload.mjs", import.meta.url).href}`,
};

/** Brings the death about, and resolves when there is a process in the place of the dead one. */
export async function die(installation: Installation, { victim, way, slot = 0 }: Death): Promise<TestProcess | undefined> {
  if (way === "pushpin restart") {
    await restart(installation);
    return undefined;
  }
  const pid = pidOf(installation, victim, slot);
  const seen = installation.runner.output.length;
  process.kill(pid, SIGNALS[way]);
  if (victim === "runner") return startRunner(installation);
  const started = new RegExp(`\\[${victim}${slot === 0 ? "" : `-${slot}`}\\] started$`, "m");
  await until(`a new ${victim}`, () => started.test(installation.runner.output.slice(seen)));
  return undefined;
}

/** Resolves when a restart has begun, or the process is gone. */
export async function dying(installation: Installation, { victim, way, slot = 0 }: Death): Promise<void> {
  if (way === "pushpin restart") await installation.runner.said(/restarting all/);
  else if (victim !== "runner") {
    const name = `${victim}${slot === 0 ? "" : `-${slot}`}`;
    await installation.runner.said(new RegExp(`${name}: Exited unexpectedly`));
  }
}

async function restart(installation: Installation): Promise<void> {
  await promisify(execFile)(
    process.execPath,
    [join(ROOT, "runner/bin/pushpin.js"), "restart", "--config=pushpin.conf"],
    { cwd: installation.directory },
  );
  await installation.runner.said(/\brestarted$/m);
}

/** Another runner for what the first one has left behind. */
async function startRunner(installation: Installation): Promise<TestProcess> {
  await installation.runner.ended();
  const runner = new TestProcess(
    "pushpin",
    [process.execPath, join(ROOT, "runner/bin/pushpin.js"), "--config=pushpin.conf", "--merge-output"],
    { cwd: installation.directory, env: DEADLY_ENVIRONMENT },
  );
  await runner.said(/\.\d{3} started$/m);
  return runner;
}

function pidOf(installation: Installation, victim: Victim, slot: number): number {
  const run = join(installation.directory, "run");
  const suffix = slot === 0 ? "" : `-${slot}`;
  for (const name of [`${victim}${suffix}.pid`, `pushpin-${victim}${suffix}.pid`])
    if (existsSync(join(run, name))) return Number(readFileSync(join(run, name), "utf8"));
  throw new Error(`no ${victim} is running`);
}
