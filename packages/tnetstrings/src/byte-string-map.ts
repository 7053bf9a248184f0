const FIRST_PLACES = 64;
/** Texts of a size that one step of multiplication mixes well (FNV-1a). */
const PRIME = 0x01000193;
/** Not known to those who choose the keys, so that they cannot choose keys that meet in one place. */
const SEED = (Math.random() * 0x7fffffff) | 0;

/**
 * A map from byte strings, for entries that come and go with each request. A `Map` makes a new table
 * every few hundred of those, and the old tables, with all that was in them, are garbage that the young
 * generation's collector keeps, because each is referred to by the one before; so every request is
 * copied twice, and then waits for a full collection. Here entries are put into the same two arrays for ever.
 */
export class ByteStringMap<T> {
  #keys: (string | undefined)[] = new Array<string | undefined>(FIRST_PLACES).fill(undefined);
  #values: (T | undefined)[] = new Array<T | undefined>(FIRST_PLACES).fill(undefined);
  #mask = FIRST_PLACES - 1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: string): T | undefined {
    return this.#values[this.#placeOf(key)];
  }

  has(key: string): boolean {
    return this.#keys[this.#placeOf(key)] !== undefined;
  }

  set(key: string, value: T): void {
    let place = this.#placeOf(key);
    if (this.#keys[place] === undefined) {
      if (2 * this.#size > this.#mask) {
        this.#grow();
        place = this.#placeOf(key);
      }
      this.#keys[place] = key;
      this.#size += 1;
    }
    this.#values[place] = value;
  }

  delete(key: string): boolean {
    let gap = this.#placeOf(key);
    const keys = this.#keys;
    const values = this.#values;
    if (keys[gap] === undefined) return false;
    this.#size -= 1;
    // Those behind it move up, so that nothing is sought behind a gap.
    for (let at = (gap + 1) & this.#mask; ; at = (at + 1) & this.#mask) {
      const moved = keys[at];
      if (moved === undefined) break;
      const home = hash(moved) & this.#mask;
      if (((at - home) & this.#mask) < ((at - gap) & this.#mask)) continue;
      keys[gap] = moved;
      values[gap] = values[at];
      gap = at;
    }
    keys[gap] = undefined;
    values[gap] = undefined;
    return true;
  }

  clear(): void {
    this.#keys.fill(undefined);
    this.#values.fill(undefined);
    this.#size = 0;
  }

  /** In no order; what is added or deleted meanwhile is not seen. */
  values(): T[] {
    const found: T[] = [];
    for (let at = 0; at < this.#keys.length; at += 1)
      if (this.#keys[at] !== undefined) found.push(this.#values[at] as T);
    return found;
  }

  /** Where the key is, or where it would be put. */
  #placeOf(key: string): number {
    const keys = this.#keys;
    const mask = this.#mask;
    let place = hash(key) & mask;
    for (let there = keys[place]; there !== undefined && there !== key; there = keys[place])
      place = (place + 1) & mask;
    return place;
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    const places = 2 * keys.length;
    this.#keys = new Array<string | undefined>(places).fill(undefined);
    this.#values = new Array<T | undefined>(places).fill(undefined);
    this.#mask = places - 1;
    for (let at = 0; at < keys.length; at += 1) {
      const key = keys[at];
      if (key === undefined) continue;
      const place = this.#placeOf(key);
      this.#keys[place] = key;
      this.#values[place] = values[at];
    }
  }
}

function hash(key: string): number {
  let sum = SEED;
  for (let at = 0; at < key.length; at += 1) sum = Math.imul(sum ^ key.charCodeAt(at), PRIME);
  return sum ^ (sum >>> 15);
}
