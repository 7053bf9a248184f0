import { mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { memoryLog, openLog } from "./index.ts";

const directory = mkdtempSync(join(tmpdir(), "log-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("given a log file, when it is renamed and reopened, then later lines go to a new file", () => {
  const file = join(directory, "a.log");
  const log = openLog({ level: 2, file });
  log.info("first", { port: 80 });
  log.debug("not at this level");
  log.flush();
  renameSync(file, `${file}.1`);
  log.reopen();
  log.error("second");
  log.close();
  expect(readFileSync(`${file}.1`, "utf8")).toMatch(
    /^\[INFO\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} first port=80\n$/,
  );
  expect(readFileSync(file, "utf8")).toMatch(/^\[ERR\] \S+ \S+ second\n$/);
});

test("given text with line breaks from outside, when it is logged, then it stays on one line", () => {
  const log = memoryLog();
  log.child({ from: "a\nb" }).warn("x");
  expect(log.lines).toEqual(["[WARN] x from=a\\nb"]);
});

test("given a log, when winston has been loaded in the course of it, then lines before and after are alike and in order", () => {
  vi.useFakeTimers();
  try {
    const file = join(directory, "b.log");
    const log = openLog({ level: 2, file });
    log.info("early");
    vi.advanceTimersByTime(60);
    expect(readFileSync(file, "utf8")).toMatch(/^\[INFO\] \S+ \S+ early\n$/);
    vi.advanceTimersByTime(2000); // by now it is there
    log.info("late");
    log.info("last");
    log.close();
    expect(readFileSync(file, "utf8")).toMatch(
      /^\[INFO\] \S+ \S+ early\n\[INFO\] \S+ \S+ late\n\[INFO\] \S+ \S+ last\n$/,
    );
  } finally {
    vi.useRealTimers();
  }
});
