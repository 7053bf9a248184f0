import type { LookupAddress } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { Resolver } from "./resolver.ts";

export interface PolicyRules {
  readonly defaultPolicy: "allow" | "deny";
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  /** Deny loopback, private and link-local networks. */
  readonly denyInternal: boolean;
}

const INTERNAL = [
  "127.0.0.0/8",
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "169.254.0.0/16",
  "0.0.0.0/8",
  "::1/128",
  "::/128",
  "fc00::/7",
  "fe80::/10",
];

/** Where requests may lead whose packets do not say `ignore-policies`. */
export class AddressPolicy {
  readonly #byDefault: boolean;
  readonly #allow: Expressions;
  readonly #deny: Expressions;

  readonly #resolver: Resolver;

  constructor(rules: PolicyRules, resolver = new Resolver()) {
    this.#resolver = resolver;
    this.#byDefault = rules.defaultPolicy === "allow";
    this.#allow = new Expressions(rules.allow);
    this.#deny = new Expressions(rules.denyInternal ? [...INTERNAL, ...rules.deny] : rules.deny);
  }

  /** Whether a host, a name or an address as text, may be asked at all. */
  permitsHost(host: string): boolean {
    // A name that is not named under the policy `deny` may yet have an address that is.
    if (!this.#byDefault && isIP(host) === 0) return !this.#deny.match(host);
    return this.permits(host);
  }

  /** Whether an address that `host` resolved to may be connected to. */
  permitsAddress(address: string, host: string): boolean {
    if (this.#byDefault) return this.permits(address);
    if (this.#allow.match(address)) return !this.#deny.match(address);
    return this.#allow.match(host) && !this.#deny.match(address);
  }

  permits(text: string): boolean {
    return this.#byDefault
      ? !this.#deny.match(text) || this.#allow.match(text)
      : this.#allow.match(text) && !this.#deny.match(text);
  }

  /** Resolves names, whatever comes of it. */
  get resolve(): LookupFunction {
    return this.#resolver.lookup;
  }

  /** Resolves names to the addresses that are permitted; none is an error of its own. */
  readonly lookup: LookupFunction = (hostname, options, done) => {
    this.#resolver.lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) {
        done(error, "", 0);
        return;
      }
      const permitted = (found as LookupAddress[]).filter(({ address }) =>
        this.permitsAddress(address, hostname),
      );
      const [first] = permitted;
      if (first === undefined) done(policyError(), "", 0);
      else if (options.all)
        (done as unknown as (error: null, all: typeof permitted) => void)(null, permitted);
      else done(null, first.address, first.family);
    });
  };
}

export function policyError(): Error {
  return Object.assign(new Error("address denied by policy"), { code: "EPOLICY" });
}

/** Texts, texts with one `*`, and networks. */
class Expressions {
  readonly #exact = new Set<string>();
  readonly #wildcards: { readonly prefix: string; readonly suffix: string }[] = [];
  readonly #networks = new BlockList();

  constructor(expressions: readonly string[]) {
    for (const expression of expressions) {
      const text = expression.trim().toLowerCase();
      const star = text.indexOf("*");
      if (star >= 0)
        this.#wildcards.push({ prefix: text.slice(0, star), suffix: text.slice(star + 1) });
      else if (!this.#addNetwork(text)) this.#exact.add(text);
    }
  }

  match(text: string): boolean {
    const lower = text.toLowerCase();
    if (this.#exact.has(lower)) return true;
    const family = isIP(lower);
    if (family !== 0 && this.#networks.check(lower, family === 6 ? "ipv6" : "ipv4")) return true;
    return this.#wildcards.some(
      ({ prefix, suffix }) =>
        lower.length >= prefix.length + suffix.length &&
        lower.startsWith(prefix) &&
        lower.endsWith(suffix),
    );
  }

  #addNetwork(text: string): boolean {
    const [address = "", bits = ""] = text.split("/");
    const full = isIP(address) === 0 ? fillUp(address, bits !== "") : address;
    const family = isIP(full);
    if (family === 0 || (bits !== "" && !/^\d{1,3}$/.test(bits))) return false;
    const most = family === 6 ? 128 : 32;
    const prefix = bits === "" ? most : Number(bits);
    if (prefix > most) return false;
    this.#networks.addSubnet(full, prefix, family === 6 ? "ipv6" : "ipv4");
    return true;
  }
}

/** `127.1/16` is short for `127.1.0.0/16`. */
function fillUp(address: string, isNetwork: boolean): string {
  if (!isNetwork || !/^\d{1,3}(\.\d{1,3}){0,2}$/.test(address)) return address;
  return [...address.split("."), "0", "0", "0"].slice(0, 4).join(".");
}
