import { type Bytes, toByteString } from "./bytes.ts";
import type { Tnet, TnetMap } from "./decode.ts";

/** Typed reader over a decoded map. The first wrong type is remembered with its key path. */
export class Fields {
  readonly #map: TnetMap;
  readonly #path: string;
  #error: string | undefined;

  constructor(map: TnetMap, path: string) {
    this.#map = map;
    this.#path = path;
  }

  /** The first problem met, for example `accept.requests[0].in-seq: expected an integer`. */
  get error(): string | undefined {
    return this.#error;
  }

  raw(key: string): Tnet | undefined {
    return this.#map.get(key);
  }

  bytes(key: string): Bytes | undefined {
    const value = this.#map.get(key);
    if (value === undefined || typeof value === "string" || value instanceof Uint8Array)
      return value;
    return this.#wrong(key, "bytes");
  }

  /** A byte string, also where it is long. */
  text(key: string): string | undefined {
    const value = this.bytes(key);
    return value === undefined ? undefined : toByteString(value);
  }

  /** Integers, also as decimal digits in bytes, as the original's receivers accept them. */
  integer(key: string): number | undefined {
    const value = this.#map.get(key);
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isInteger(value)) return value;
    if (typeof value === "string" && /^-?\d{1,15}$/.test(value)) return Number(value);
    return this.#wrong(key, "an integer");
  }

  boolean(key: string): boolean | undefined {
    const value = this.#map.get(key);
    if (value === undefined || typeof value === "boolean") return value;
    return this.#wrong(key, "a boolean");
  }

  list(key: string): Tnet[] | undefined {
    const value = this.#map.get(key);
    if (value === undefined || Array.isArray(value)) return value;
    return this.#wrong(key, "a list");
  }

  map(key: string): TnetMap | undefined {
    const value = this.#map.get(key);
    if (value === undefined || value instanceof Map) return value;
    return this.#wrong(key, "a map");
  }

  requiredBytes(key: string): Bytes {
    return this.bytes(key) ?? this.#missing(key) ?? "";
  }

  requiredText(key: string): string {
    return this.text(key) ?? this.#missing(key) ?? "";
  }

  requiredInteger(key: string): number {
    return this.integer(key) ?? this.#missing(key) ?? 0;
  }

  requiredBoolean(key: string): boolean {
    return this.boolean(key) ?? this.#missing(key) ?? false;
  }

  /** Records a problem found by the caller; the first one stays. */
  fail(key: string, what: string): void {
    this.#error ??= `${this.#path}.${key}: ${what}`;
  }

  #wrong(key: string, expected: string): undefined {
    this.fail(key, `expected ${expected}`);
    return undefined;
  }

  #missing(key: string): undefined {
    this.fail(key, "missing");
    return undefined;
  }
}
