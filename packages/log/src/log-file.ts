import { closeSync, openSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { Writable } from "node:stream";
import type { Logger as WinstonLogger } from "winston";
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
/** Winston is loaded this long after the first line: not while this process, or others beside it, are starting. */
const LOAD_AFTER_MS = 1000;
/** Limit: text waiting in memory; above it lines are written at once. */
const BUFFER_MAX_CHARS = 65_536;

/** Where lines end: a file that can be opened again, or standard output. */
class Output extends Writable {
  readonly #file: string | undefined;
  #fd: number;

  constructor(file: string | undefined) {
    super({ decodeStrings: false });
    this.#file = file;
    this.#fd = file === undefined ? 1 : openSync(file, "a");
  }

  override _write(text: string, _encoding: BufferEncoding, done: () => void): void {
    const bytes = Buffer.from(text, "utf8");
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    } catch {
      // A full disk or a closed pipe must not end a process that serves clients.
    }
    done();
  }

  reopen(): void {
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

/**
 * The log of a process: the original's line format, buffered, reopened on SIGHUP. Winston gets what
 * has gathered in one entry: line by line it would cost six times as much. It is loaded a while after the first
 * line, because a start must not wait for it; what is written before, or by a process that ends before, goes directly
 * to where winston would put it.
 */
export class LogFile extends LineLogger {
  readonly #output: Output;
  #winston: WinstonLogger | undefined;
  #text = "";
  #timer: NodeJS.Timeout | undefined;
  #loading: NodeJS.Timeout | undefined;

  constructor(options: LogOptions) {
    const output = new Output(options.file);
    const render = options.json ? jsonRenderer(options.name) : renderLine;
    super(options.level, (level, message) => this.#add(render(level, message)));
    this.#output = output;
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#text;
    this.#text = "";
    if (text === "") return;
    if (this.#winston === undefined) this.#output.write(text);
    else this.#winston.log("info", text);
  }

  reopen(): void {
    this.flush();
    this.#output.reopen();
  }

  close(): void {
    clearTimeout(this.#loading);
    this.flush();
  }

  #add(line: string): void {
    this.#text += `${line}\n`;
    if (this.#text.length >= BUFFER_MAX_CHARS) this.flush();
    else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => this.flush(), FLUSH_MS);
      this.#timer.unref();
    }
    this.#loading ??= setTimeout(() => {
      this.#winston = winstonTo(this.#output);
    }, LOAD_AFTER_MS).unref();
  }
}

function winstonTo(stream: Output): WinstonLogger {
  const require = createRequire(import.meta.url);
  const winston = require("winston") as typeof import("winston");
  return winston.createLogger({
    format: winston.format.printf(({ message }) => String(message)),
    transports: [new winston.transports.Stream({ stream, eol: "" })],
  });
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
