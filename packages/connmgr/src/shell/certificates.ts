import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import type { Logger } from "@pushpin/log";

interface Loaded {
  readonly context: SecureContext;
  readonly modifiedMs: number;
}

/** Certificates by server name: `NAME.crt` and `NAME.key` in one directory, read anew when they change. */
export class Certificates {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #loaded = new Map<string, Loaded>();

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /** Exact name, then `_.rest` as a wildcard for one label, then the default of the port. */
  find(serverName: string | undefined, fallback: string): SecureContext | undefined {
    const name = serverName?.toLowerCase() ?? "";
    if (name !== "" && name.length <= 253 && /^[a-z0-9._-]+$/.test(name) && !name.startsWith(".")) {
      const dot = name.indexOf(".");
      const found = this.#load(name) ?? (dot > 0 ? this.#load(`_${name.slice(dot)}`) : undefined);
      if (found !== undefined) return found;
    }
    return this.#load(fallback);
  }

  #load(name: string): SecureContext | undefined {
    const known = this.#loaded.get(name);
    try {
      const cert = join(this.#directory, `${name}.crt`);
      const key = join(this.#directory, `${name}.key`);
      const modifiedMs = Math.max(statSync(cert).mtimeMs, statSync(key).mtimeMs);
      if (known !== undefined && known.modifiedMs >= modifiedMs) return known.context;
      const context = createSecureContext({
        cert: readFileSync(cert),
        key: readFileSync(key),
        minVersion: "TLSv1.2",
      });
      this.#loaded.set(name, { context, modifiedMs });
      return context;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT")
        this.#log.warn("certificate not usable", { name, error: (error as Error).message });
      return known?.context; // a broken new file keeps the old one
    }
  }
}
