/**
 * Turns the output of a child into lines of the runner's: behind the timestamp of a log line comes
 * the name of the process, other lines pass unchanged.
 */
export class MergedOutput {
  readonly #name: string;
  readonly #write: (line: string) => void;
  #rest = "";

  constructor(name: string, write: (line: string) => void) {
    this.#name = name;
    this.#write = write;
  }

  add(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#write(this.#label(line));
    // Limit: one line of a child; a longer one is passed in pieces.
    if (this.#rest.length > 65_536) this.end();
  }

  end(): void {
    if (this.#rest !== "") this.#write(this.#label(this.#rest));
    this.#rest = "";
  }

  #label(line: string): string {
    const match = /^(\[\w+\] \S+ \S+ )(.*)$/s.exec(line);
    return match === null ? line : `${match[1]}[${this.#name}] ${match[2]}`;
  }
}
