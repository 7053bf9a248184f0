import { writeSync } from "node:fs";
import { Socket } from "node:net";

/** How often whoever started us is told that we are alive. */
const BEAT_MS = 1000;

/** Where whoever started us listens, if anybody does. */
function starterFd(): number | undefined {
  const fd = Number(process.env.PUSHPIN_READY_FD);
  return Number.isInteger(fd) && fd >= 3 ? fd : undefined;
}

/** Tells whoever started us that every socket is open (`READY`), or why not or no longer (`FAILED reason`). */
export function tellStarter(line: string): void {
  const fd = starterFd();
  if (fd === undefined) return;
  try {
    writeSync(fd, `${line.replaceAll("\n", " ")}\n`);
  } catch {
    // Whoever started us is gone; that is no reason to stop.
  }
}

/** Tells it from now on, as long as this process can do anything, that it can (`ALIVE`). */
export function keepTellingStarter(): void {
  const fd = starterFd();
  if (fd === undefined) return;
  const starter = new Socket({ fd, readable: false, writable: true });
  starter.unref();
  const timer = setInterval(() => {
    // A starter that does not read (it may be stopped itself) must neither block us nor fill our memory.
    if (starter.writableLength === 0) starter.write("ALIVE\n");
  }, BEAT_MS);
  timer.unref();
  starter.on("error", () => clearInterval(timer)); // it is gone
  starter.write("ALIVE\n");
}
