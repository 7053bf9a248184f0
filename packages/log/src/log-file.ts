import { closeSync, openSync, writeSync } from "node:fs";
import { LEVEL_NAMES, LineLogger, type LogLevel, renderTimestamp } from "./logger.ts";

export interface LogOptions {
  readonly level: LogLevel;
  /** Appended to; absent: standard output. */
  readonly file?: string;
  /** One JSON object a line instead of the original's line format. */
  readonly json?: boolean;
  /** Name of the process, in JSON lines. */
  readonly name?: string;
}

/** Lines wait at most this long before they are written together. */
const FLUSH_MS = 50;
/** Limit: text waiting in memory; above it lines are written at once. */
const BUFFER_MAX_CHARS = 65_536;

/** Collects lines and writes them in one call: one system call per line is most of a line's cost. */
class BufferedLines {
  readonly #file: string | undefined;
  #fd: number;
  #text = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(file: string | undefined) {
    this.#file = file;
    this.#fd = file === undefined ? 1 : openSync(file, "a");
  }

  add(line: string): void {
    this.#text += `${line}\n`;
    if (this.#text.length >= BUFFER_MAX_CHARS) this.flush();
    else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => this.flush(), FLUSH_MS);
      this.#timer.unref();
    }
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#text;
    this.#text = "";
    if (text === "") return;
    const bytes = Buffer.from(text, "utf8");
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    } catch {
      // A full disk or a closed pipe must not end a process that serves clients.
    }
  }

  reopen(): void {
    this.flush();
    if (this.#file === undefined) return;
    const old = this.#fd;
    try {
      this.#fd = openSync(this.#file, "a");
      closeSync(old);
    } catch {
      this.#fd = old;
    }
  }
}

/** The log of a process: the original's line format, buffered, reopened on SIGHUP. */
export class LogFile extends LineLogger {
  readonly #lines: BufferedLines;

  constructor(options: LogOptions) {
    const lines = new BufferedLines(options.file);
    const render = options.json ? jsonRenderer(options.name) : renderLine;
    super(options.level, (level, message) => lines.add(render(level, message)));
    this.#lines = lines;
  }

  flush(): void {
    this.#lines.flush();
  }

  reopen(): void {
    this.#lines.reopen();
  }

  close(): void {
    this.#lines.flush();
  }
}

function renderLine(level: LogLevel, message: string): string {
  return `[${LEVEL_NAMES[level]}] ${renderTimestamp(Date.now())} ${message}`;
}

function jsonRenderer(name: string | undefined) {
  return (level: LogLevel, message: string): string =>
    JSON.stringify({
      time: new Date().toISOString(),
      level: LEVEL_NAMES[level],
      name,
      message,
    });
}

/** @throws Error that names the file, if it cannot be opened. */
export function openLog(options: LogOptions): LogFile {
  try {
    return new LogFile(options);
  } catch (error) {
    throw new Error(`failed to open log file: ${options.file}`, { cause: error });
  }
}
