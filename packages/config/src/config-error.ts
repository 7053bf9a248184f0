/** A configuration that cannot be used; says where and what is allowed. Ends the start only. */
export class ConfigError extends Error {
  readonly file: string;
  readonly line: number | undefined;

  constructor(message: string, file = "", line?: number) {
    super(file === "" ? message : `${file}${line === undefined ? "" : `:${line}`}: ${message}`);
    this.name = "ConfigError";
    this.file = file;
    this.line = line;
  }
}
