/** Whoever can stand in a line; its members are owned by the line. */
export interface InLine<T> {
  older: T | undefined;
  newer: T | undefined;
  isInLine: boolean;
}

/** The oldest first, and out of it from any place. Nothing is allocated for those who pass through. */
export class AgeLine<T extends InLine<T>> {
  #first: T | undefined;
  #last: T | undefined;

  get first(): T | undefined {
    return this.#first;
  }

  /** The newest of all. */
  add(one: T): void {
    if (one.isInLine) return;
    one.isInLine = true;
    one.older = this.#last;
    if (this.#last === undefined) this.#first = one;
    else this.#last.newer = one;
    this.#last = one;
  }

  /** False if it was not in the line. */
  remove(one: T): boolean {
    if (!one.isInLine) return false;
    one.isInLine = false;
    const { older, newer } = one;
    if (older === undefined) this.#first = newer;
    else older.newer = newer;
    if (newer === undefined) this.#last = older;
    else newer.older = older;
    // One that is gone must not keep alive those that came after it.
    one.older = undefined;
    one.newer = undefined;
    return true;
  }
}
