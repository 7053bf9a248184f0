/** 0 error, 1 warn, 2 info, 3 debug, 4 trace. */
export type LogLevel = 0 | 1 | 2 | 3 | 4;

export type LogFields = Readonly<Record<string, unknown>>;

/** A fixed sentence to search for, and fields to count by. */
export interface Logger {
  readonly level: LogLevel;
  /** Guard for debug lines whose making costs something. */
  readonly isDebug: boolean;
  error(text: string, fields?: LogFields): void;
  warn(text: string, fields?: LogFields): void;
  info(text: string, fields?: LogFields): void;
  debug(text: string, fields?: LogFields): void;
  trace(text: string, fields?: LogFields): void;
  /** The same log with fields of its own on every line. */
  child(fields: LogFields): Logger;
}

export const LEVEL_NAMES = ["ERR", "WARN", "INFO", "DEBUG", "TRACE"] as const;

/** The message with its fields, on one line whatever they hold. */
export function renderMessage(text: string, fields?: LogFields): string {
  let line = text;
  for (const key in fields) {
    const value = fields[key];
    if (value !== undefined) line += ` ${key}=${renderValue(value)}`;
  }
  return oneLine(line);
}

function renderValue(value: unknown): string {
  if (value instanceof Error) return value.stack ?? value.message;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: a client must not be able to forge lines
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/g;

function oneLine(text: string): string {
  return text.replace(CONTROL, (one) =>
    one === "\n" ? "\\n" : `\\x${one.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

let stampSecond = -1;
let stampPrefix = "";

/** `YYYY-MM-DD HH:MM:SS.mmm`, local time; the part above the second is made once a second. */
export function renderTimestamp(wallMs: number): string {
  const second = Math.floor(wallMs / 1000);
  if (second !== stampSecond) {
    const date = new Date(wallMs);
    const two = (n: number) => String(n).padStart(2, "0");
    stampPrefix =
      `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
      `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.`;
    stampSecond = second;
  }
  return stampPrefix + String(Math.floor(wallMs - second * 1000)).padStart(3, "0");
}

/** A logger over one function that takes finished messages. */
export class LineLogger implements Logger {
  level: LogLevel;
  readonly #write: (level: LogLevel, message: string) => void;
  readonly #fields: LogFields | undefined;

  constructor(
    level: LogLevel,
    write: (level: LogLevel, message: string) => void,
    fields?: LogFields,
  ) {
    this.level = level;
    this.#write = write;
    this.#fields = fields;
  }

  get isDebug(): boolean {
    return this.level >= 3;
  }

  error(text: string, fields?: LogFields): void {
    this.#log(0, text, fields);
  }

  warn(text: string, fields?: LogFields): void {
    if (this.level >= 1) this.#log(1, text, fields);
  }

  info(text: string, fields?: LogFields): void {
    if (this.level >= 2) this.#log(2, text, fields);
  }

  debug(text: string, fields?: LogFields): void {
    if (this.level >= 3) this.#log(3, text, fields);
  }

  trace(text: string, fields?: LogFields): void {
    if (this.level >= 4) this.#log(4, text, fields);
  }

  child(fields: LogFields): Logger {
    return new LineLogger(this.level, this.#write, { ...this.#fields, ...fields });
  }

  #log(level: LogLevel, text: string, fields: LogFields | undefined): void {
    const all = this.#fields === undefined ? fields : { ...this.#fields, ...fields };
    this.#write(level, renderMessage(text, all));
  }
}

export const silentLog: Logger = new LineLogger(0, () => {});

/** A log that keeps its lines (without time), for tests. */
export function memoryLog(level: LogLevel = 4): Logger & { readonly lines: string[] } {
  const lines: string[] = [];
  const log = new LineLogger(level, (at, message) => lines.push(`[${LEVEL_NAMES[at]}] ${message}`));
  return Object.assign(log, { lines });
}
