/**
 * Turns the output of a child into lines of the runner's: behind the timestamp of a log line comes
 * the name of the process, other lines pass unchanged.
 */
export class MergedOutput {
  readonly #name: string;
  readonly #write: (line: string) => void;
  #rest = "";

  readonly #relabel: (line: string) => string | undefined;

  /** `relabel` makes a log line of what a child writes in its own manner; undefined drops it. */
  constructor(
    name: string,
    write: (line: string) => void,
    relabel: (line: string) => string | undefined = (line) => line,
  ) {
    this.#name = name;
    this.#write = write;
    this.#relabel = relabel;
  }

  add(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#tell(line);
    // Limit: one line of a child; a longer one is passed in pieces.
    if (this.#rest.length > 65_536) this.end();
  }

  end(): void {
    if (this.#rest !== "") this.#tell(this.#rest);
    this.#rest = "";
  }

  #tell(written: string): void {
    const line = this.#relabel(written);
    if (line !== undefined) this.#write(this.#label(line));
  }

  #label(line: string): string {
    const match = /^(\[\w+\] \S+ \S+ )(.*)$/s.exec(line);
    return match === null ? line : `${match[1]}[${this.#name}] ${match[2]}`;
  }
}
