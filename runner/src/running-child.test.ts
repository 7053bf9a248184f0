import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { until } from "@pushpin/testkit";
import { afterEach, expect, test } from "vitest";
import { isAlive } from "./running-child.ts";

const FIRST_THREAD_ENDS = `
import ctypes, threading, time
threading.Thread(target=lambda: time.sleep(60)).start()
ctypes.CDLL(None).pthread_exit(None)
`;

let child: ChildProcess | undefined;
afterEach(async () => {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
});

test("given a process whose first thread has ended, when another one goes on, then it is alive, as its sockets are", async () => {
  child = spawn("python3", ["-c", FIRST_THREAD_ENDS], { stdio: "ignore" });
  const pid = child.pid as number;
  await until("its first thread has ended", () =>
    /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8")),
  );
  expect(isAlive(pid)).toBe(true);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(isAlive(pid)).toBe(false);
});
