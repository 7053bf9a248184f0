import { closeSync, openSync, writeSync } from "node:fs";
import { Writable } from "node:stream";
import winston from "winston";
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
class BufferedLines extends Writable {
  readonly #file: string | undefined;
  #fd: number;
  #text = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(file: string | undefined) {
    super({ decodeStrings: false });
    this.#file = file;
    this.#fd = file === undefined ? 1 : openSync(file, "a");
  }

  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#text += chunk;
    if (this.#text.length >= BUFFER_MAX_CHARS) this.flush();
    else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => this.flush(), FLUSH_MS);
      this.#timer.unref();
    }
    done();
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
    const sink = winston.createLogger({
      levels: { error: 0, warn: 1, info: 2, debug: 3, trace: 4 },
      level: "trace", // LineLogger has decided already
      format: winston.format.printf(options.json ? renderJson(options.name) : renderLine),
      transports: [new winston.transports.Stream({ stream: lines, eol: "\n" })],
    });
    super(options.level, (level, message) => sink.log(WINSTON_LEVELS[level], message));
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

const WINSTON_LEVELS = ["error", "warn", "info", "debug", "trace"] as const;

function renderLine(info: winston.Logform.TransformableInfo): string {
  return `[${levelName(info.level)}] ${renderTimestamp(Date.now())} ${String(info.message)}`;
}

function renderJson(name: string | undefined) {
  return (info: winston.Logform.TransformableInfo): string =>
    JSON.stringify({
      time: new Date().toISOString(),
      level: levelName(info.level),
      name,
      message: info.message,
    });
}

function levelName(level: string): string {
  return LEVEL_NAMES[WINSTON_LEVELS.indexOf(level as (typeof WINSTON_LEVELS)[number])] ?? level;
}

/** @throws Error that names the file, if it cannot be opened. */
export function openLog(options: LogOptions): LogFile {
  try {
    return new LogFile(options);
  } catch (error) {
    throw new Error(`failed to open log file: ${options.file}`, { cause: error });
  }
}
