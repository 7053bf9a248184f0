/** Limit: names and values of the meta items of one connection. Unit: bytes; more ends it. */
export const META_MAX_BYTES = 65_536;

/** What the backend asked to be told again with every request (`Set-Meta-*`, proxy.md 5B.3). */
export class MetaItems {
  /** By lower-case name. */
  readonly #items = new Map<string, { readonly name: string; readonly value: string }>();
  #bytes = 0;

  /** Stores, replaces, or with an empty value deletes an item; false if it is too much. */
  set(name: string, value: string): boolean {
    const key = name.toLowerCase();
    const known = this.#items.get(key);
    if (known !== undefined) this.#bytes -= known.name.length + known.value.length;
    this.#items.delete(key);
    if (value === "" || name === "") return true;
    this.#bytes += name.length + value.length;
    this.#items.set(key, { name, value });
    return this.#bytes <= META_MAX_BYTES; // Limit: META_MAX_BYTES
  }

  /** Flat: name, value, … */
  list(): string[] {
    return [...this.#items.values()].flatMap(({ name, value }) => [name, value]);
  }

  addTo(headers: string[]): void {
    for (const { name, value } of this.#items.values()) headers.push(`Meta-${name}`, value);
  }
}
