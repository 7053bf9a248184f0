import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import type { Logger } from "@pushpin/log";

/** A certificate chain with its key, as read from `NAME.crt` and `NAME.key`. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly context: SecureContext;
}

interface Known {
  /** Modification times of both files: whatever changes is read anew. */
  readonly stamp: string;
  readonly certificate: Certificate | undefined;
}

/** Limit: names looked for whose files were broken or fine; beyond it they are read anew. */
const KNOWN_MAX = 10_000;

/** Certificates by server name, in one directory; looked at for every handshake. */
export class Certificates {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #known = new Map<string, Known>();

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /** Exact name, then `_.rest` as a wildcard for one label, then the default of the port. */
  find(serverName: string | undefined, fallback: string): Certificate | undefined {
    const name = serverName?.toLowerCase() ?? "";
    if (name !== "" && name.length <= 253 && /^[a-z0-9_-][a-z0-9._-]*$/.test(name)) {
      const dot = name.indexOf(".");
      const found = this.read(name) ?? (dot > 0 ? this.read(`_${name.slice(dot)}`) : undefined);
      if (found !== undefined) return found;
    }
    return this.read(fallback);
  }

  /** The newest usable certificate of this name. */
  read(name: string): Certificate | undefined {
    const certFile = join(this.#directory, `${name}.crt`);
    const keyFile = join(this.#directory, `${name}.key`);
    const certStat = statSync(certFile, { throwIfNoEntry: false });
    const keyStat =
      certStat === undefined ? undefined : statSync(keyFile, { throwIfNoEntry: false });
    const known = this.#known.get(name);
    if (certStat === undefined || keyStat === undefined) return known?.certificate;
    const stamp = `${certStat.mtimeMs} ${certStat.size} ${keyStat.mtimeMs} ${keyStat.size}`;
    if (known?.stamp === stamp) return known.certificate;
    const certificate = this.#load(name, certFile, keyFile) ?? known?.certificate;
    if (this.#known.size >= KNOWN_MAX) this.#known.clear(); // Limit: KNOWN_MAX
    this.#known.set(name, { stamp, certificate });
    return certificate;
  }

  /** A broken new file leaves the old certificate in place. */
  #load(name: string, certFile: string, keyFile: string): Certificate | undefined {
    try {
      const cert = readFileSync(certFile);
      const key = readFileSync(keyFile);
      const context = createSecureContext({ cert, key, minVersion: "TLSv1.2" });
      this.#log.info("certificate loaded", { name });
      return { cert, key, context };
    } catch (error) {
      this.#log.warn("certificate not usable", { name, error: (error as Error).message });
      return undefined;
    }
  }
}
