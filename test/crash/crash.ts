import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Installation, until } from "@pushpin/testkit";

export type Role = "proxy" | "handler" | "httpclient" | "connmgr";

const PID_FILES: Readonly<Record<Role, string>> = {
  proxy: "pushpin-proxy.pid",
  handler: "pushpin-handler.pid",
  httpclient: "httpclient.pid",
  connmgr: "connmgr.pid",
};

export function pidOf(installation: Installation, role: Role): number | undefined {
  try {
    return Number(readFileSync(join(installation.directory, "run", PID_FILES[role]), "utf8"));
  } catch {
    return undefined;
  }
}

/** Ends a process without a word, and waits until the runner has a new one in its place. */
export async function crash(
  installation: Installation,
  role: Role,
  signal: NodeJS.Signals = "SIGKILL",
): Promise<void> {
  const pid = pidOf(installation, role);
  if (pid === undefined) throw new Error(`no ${role} is running`);
  const seen = installation.runner.output.length;
  process.kill(pid, signal);
  const started = new RegExp(`\\[${role}\\] started$`, "m");
  await until(`a new ${role}`, () => {
    const now = pidOf(installation, role);
    return now !== undefined && now !== pid && started.test(installation.runner.output.slice(seen));
  });
}
