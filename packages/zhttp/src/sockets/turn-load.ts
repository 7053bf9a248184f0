/**
 * How much turns of the event loop bring. While each brings one thing, that need not wait for the end of its
 * turn, where it would meet others; with more it should.
 */
export class TurnLoad {
  #count = 0;
  /** The turn before brought no more than one. */
  #isSparse = true;

  /** One more in this turn. */
  add(): void {
    this.#count += 1;
  }

  /** Nothing has come in this turn. */
  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** One thing has come in this turn, and no more in the turn before. */
  get isAlone(): boolean {
    return this.#isSparse && this.#count === 1;
  }

  endTurn(): void {
    this.#isSparse = this.#count <= 1;
    this.#count = 0;
  }
}
