import { type LookupAddress, type LookupOptions, lookup } from "node:dns";
import type { LookupFunction } from "node:net";

type Answer = (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void;

/** The system's resolver, asked for all addresses. */
export type ResolveAll = (hostname: string, options: LookupOptions, done: Answer) => void;

const systemResolver: ResolveAll = (hostname, options, done) =>
  lookup(hostname, { ...options, all: true }, done);

/**
 * Finds the addresses of names, one question at a time for each: a name server that does not answer
 * takes up one thread for a name, not one for each request.
 */
export class Resolver {
  readonly #resolve: ResolveAll;
  readonly #asked = new Map<string, Answer[]>();

  constructor(resolve: ResolveAll = systemResolver) {
    this.#resolve = resolve;
  }

  /** As `dns.lookup` does it; with `all` every address, otherwise the first. */
  readonly lookup: LookupFunction = (hostname, options, done) => {
    this.all(hostname, options, (error, addresses) => {
      const [first] = addresses;
      if (error !== null || first === undefined) done(error ?? noAddress(hostname), "", 0);
      else if (options.all)
        (done as unknown as (error: null, all: LookupAddress[]) => void)(null, addresses);
      else done(null, first.address, first.family);
    });
  };

  all(hostname: string, options: LookupOptions, done: Answer): void {
    const { family = 0, hints = 0 } = options;
    const key = `${family} ${hints} ${hostname}`;
    const waiting = this.#asked.get(key);
    if (waiting !== undefined) {
      waiting.push(done);
      return;
    }
    const all = [done];
    this.#asked.set(key, all);
    this.#resolve(hostname, { family, hints }, (error, addresses) => {
      this.#asked.delete(key);
      for (const one of all) one(error, error === null ? addresses : []);
    });
  }
}

function noAddress(hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), {
    code: "ENOTFOUND",
    syscall: "getaddrinfo",
  });
}
