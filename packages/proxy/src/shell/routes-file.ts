import { type FSWatcher, readFileSync, watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { Logger } from "@pushpin/log";
import { fromUtf8 } from "@pushpin/tnetstrings";
import { RouteTable } from "../core/routes/route-table.ts";
import { readPem } from "./pem-file.ts";

/** A change is taken up this long after it was first noticed; what comes meanwhile is absorbed. */
const RELOAD_AFTER_MS = 1000;

/** The routes in force: from the command line, or from a file that is watched. */
export class RoutesFile {
  readonly #path: string;
  readonly #log: Logger;
  readonly #onRoutes: (table: RouteTable) => void;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string, log: Logger, onRoutes: (table: RouteTable) => void) {
    this.#path = path;
    this.#log = log;
    this.#onRoutes = onRoutes;
  }

  static fromLines(lines: readonly string[], log: Logger): RouteTable {
    const table = RouteTable.parse(
      lines.map(fromUtf8),
      ({ line, text }) => log.warn(`<route>:${line}${text}`),
      () => 1,
      readPem,
    );
    log.info(`routes loaded with ${table.size} entries`);
    return table;
  }

  /** Reads the file; if it cannot be read, the routes in force stay. */
  load(): void {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch {
      this.#log.warn(`unable to open routes file: ${this.#path}`);
      return;
    }
    const table = RouteTable.parse(
      fromUtf8(text).split("\n"),
      ({ line, text: problem }) => this.#log.warn(`${this.#path}:${line}${problem}`),
      undefined,
      readPem,
    );
    this.#log.info(`routes loaded with ${table.size} entries`);
    this.#onRoutes(table);
  }

  /** Watches the directory: a watch on the file itself goes deaf when the file is replaced. */
  watch(): void {
    const name = basename(this.#path);
    try {
      this.#watcher = watch(dirname(this.#path), (_, changed) => {
        if (changed !== null && changed !== name) return;
        if (this.#timer !== undefined) return;
        this.#log.info("routes file changed, reloading");
        this.#timer = setTimeout(() => {
          this.#timer = undefined;
          this.load();
        }, RELOAD_AFTER_MS);
      });
      this.#watcher.on("error", () => {});
    } catch (error) {
      this.#log.warn("routes file is not watched", { error: (error as Error).message });
    }
  }

  close(): void {
    this.#watcher?.close();
    clearTimeout(this.#timer);
  }
}
