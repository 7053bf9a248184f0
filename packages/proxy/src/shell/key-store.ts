import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseKey, parseVerificationKey, type SigningKey, type VerificationKey } from "@pushpin/grip";
import type { ProxySettings } from "@pushpin/config";
import type { Logger } from "@pushpin/log";
import type { Route } from "../core/routes/route-table.ts";

/** Which key signs the requests of a route, or why none does. */
export function signatureState(
  route: Route,
  settings: Pick<ProxySettings, "sig_iss" | "sig_key">,
  keys: KeyStore,
): string {
  const { issuer, key, isOwn } = signingOf(route, settings, keys);
  if (issuer === "") return "none: no issuer";
  if (key === undefined) return "none: no usable key";
  return `signed with the ${isOwn ? "route's" : "global"} key, issuer ${issuer}`;
}

/** Who signs requests on a route, and with what: its own usable key (`isOwn`), or that of all. */
export function signingOf(
  route: Route,
  settings: Pick<ProxySettings, "sig_iss" | "sig_key">,
  keys: KeyStore,
): { readonly issuer: string; readonly key: SigningKey | undefined; readonly isOwn: boolean } {
  const own = route.sigKey === undefined ? undefined : keys.signing(route.sigKey);
  const issuer = route.sigIssuer ?? settings.sig_iss;
  return { issuer, key: own ?? keys.signing(settings.sig_key), isOwn: own !== undefined };
}

/** Keys as configuration and routes name them; each is read once, and complained about once. */
export class KeyStore {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #keys = new Map<string, SigningKey | undefined>();

  /** `directory`: where relative key files are. */
  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  signing(text: string): SigningKey | undefined {
    if (text === "") return undefined;
    if (this.#keys.has(text)) return this.#keys.get(text);
    const key = this.#read("signing", () => parseKey(text, (path) => this.#file(path)));
    this.#keys.set(text, key);
    return key;
  }

  verification(text: string): VerificationKey | undefined {
    if (text === "") return undefined;
    return this.#read("upstream", () => parseVerificationKey(text, (path) => this.#file(path)));
  }

  /** Files may have changed. */
  forget(): void {
    this.#keys.clear();
  }

  #file(path: string): Buffer {
    return readFileSync(resolve(this.#directory, path));
  }

  #read<T>(what: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.#log.error(`${what} key not usable`, { error: (error as Error).message });
      return undefined;
    }
  }
}
