import type { Clock, Timer } from "@pushpin/clock";
import type { Session } from "@pushpin/zhttp";

/** A request that is not answered in this time, or twice it, is acknowledged, so that its client can cancel it. */
const ACKNOWLEDGE_AFTER_MS = 20;

/** Acknowledges requests that are not answered soon; the answer of the others says enough. One timer for all. */
export class LateAcknowledgements {
  readonly #clock: Clock;
  readonly #pump: (session: Session) => void;
  /** Requests that have come since the timer ran, and those that had come before that. */
  #fresh: Session[] = [];
  #aging: Session[] = [];
  #timer: Timer | undefined;

  /** `pump`: sends what a session has to say. */
  constructor(clock: Clock, pump: (session: Session) => void) {
    this.#clock = clock;
    this.#pump = pump;
  }

  add(session: Session): void {
    this.#fresh.push(session);
    this.#timer ??= this.#clock.setTimer(ACKNOWLEDGE_AFTER_MS, this.#look);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  readonly #look = (): void => {
    for (const one of this.#aging) {
      if (one.outSeq > 0 || one.state !== "open") continue;
      one.acknowledge();
      this.#pump(one);
    }
    this.#aging = this.#fresh;
    this.#fresh = [];
    this.#timer =
      this.#aging.length > 0 ? this.#clock.setTimer(ACKNOWLEDGE_AFTER_MS, this.#look) : undefined;
  };
}
