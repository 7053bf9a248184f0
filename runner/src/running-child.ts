import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";

/** Variable of a child that says what it was started with. */
export const FINGERPRINT = "PUSHPIN_FINGERPRINT";

/** What is known of a process that an earlier runner has left behind. */
export type LeftBehind =
  | { readonly kind: "none" }
  /** Started exactly as we would start it. */
  | { readonly kind: "same"; readonly pid: number }
  /** A child of an earlier runner with other settings. */
  | { readonly kind: "other"; readonly pid: number };

/** Looks whether the process of a pid file is a child of an earlier runner. */
export function findLeftBehind(pidFile: string, fingerprint: string): LeftBehind {
  if (!existsSync(pidFile)) return { kind: "none" };
  const pid = Number(readFileSync(pidFile, "utf8"));
  if (!Number.isInteger(pid) || pid <= 1 || !isAlive(pid)) return { kind: "none" };
  const theirs = environmentOf(pid).find((one) => one.startsWith(`${FINGERPRINT}=`));
  if (theirs === undefined) return { kind: "none" }; // the number belongs to somebody else now
  return { kind: theirs === `${FINGERPRINT}=${fingerprint}` ? "same" : "other", pid };
}

export function fingerprintOf(parts: readonly string[]): string {
  return createHash("sha256").update(parts.join("\0")).digest("hex").slice(0, 32);
}

/**
 * A process that has ended and was not waited for counts as gone, once all of its threads have ended: the others
 * outlive the first one for a moment, and its sockets live as long as they.
 */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return !/^State:\s+[ZX]/m.test(status) || Number(/^Threads:\s+(\d+)/m.exec(status)?.[1]) > 1;
  } catch {
    return !existsSync("/proc/self");
  }
}

/** Stopped by a signal or a debugger. */
export function isStopped(pid: number): boolean {
  try {
    return /^State:\s+[Tt]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Whether a pid file names a runner that is alive, and is neither we nor our starter. @returns its pid. */
export function findRunner(pidFile: string): number | undefined {
  if (!existsSync(pidFile)) return undefined;
  const pid = Number(readFileSync(pidFile, "utf8"));
  if (!Number.isInteger(pid) || pid <= 1 || pid === process.pid || pid === process.ppid) return undefined;
  if (!isAlive(pid)) return undefined;
  // The number may belong to somebody else by now.
  return commandLineOf(pid).some((one) => /(?:^|\/)pushpin(?:\.js)?$/.test(one)) ? pid : undefined;
}

function commandLineOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}

function environmentOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
  } catch {
    return [];
  }
}
