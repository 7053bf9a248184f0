import {
  applyFilter,
  type FilterContext,
  type FilterOutcome,
  isNetworkFilter,
} from "@pushpin/grip";
import type { Bytes } from "@pushpin/tnetstrings";
import type { NetworkFilters, NetworkOrigin } from "./network-filters.ts";

/** Errors say which filter it was. */
export type Filtered = FilterOutcome;

export interface Filtering {
  readonly filters: readonly string[];
  readonly context: FilterContext;
  readonly origin: NetworkOrigin;
  readonly content: Bytes;
}

/** Runs the filters of a subscription over one item, in list order (handler.md 6). */
export class FilterRunner {
  readonly #network: NetworkFilters;

  constructor(network: NetworkFilters) {
    this.#network = network;
  }

  /** The outcome, or undefined if a network filter was asked; `done` gets it then. */
  run(
    filtering: Filtering,
    nowMs: number,
    done: (filtered: Filtered, nowMs: number) => void,
  ): Filtered | undefined {
    return this.#step(filtering, 0, filtering.content, nowMs, done);
  }

  #step(
    filtering: Filtering,
    first: number,
    content: Bytes,
    nowMs: number,
    done: (filtered: Filtered, nowMs: number) => void,
  ): Filtered | undefined {
    const { filters, context, origin } = filtering;
    let current = content;
    for (let i = first; i < filters.length; i += 1) {
      const name = filters[i] as string;
      if (isNetworkFilter(name)) {
        this.#network.ask(name, context, origin, current, nowMs, (result, doneMs) => {
          if (result.action !== "send") done(result, doneMs);
          else {
            const rest = this.#step(filtering, i + 1, result.content, doneMs, done);
            if (rest !== undefined) done(rest, doneMs);
          }
        });
        return undefined;
      }
      const result = applyFilter(name, context, current);
      if (result.action === "drop") return result;
      if (result.action === "error") return { action: "error", text: `${name}: ${result.text}` };
      current = result.content;
    }
    return { action: "send", content: current };
  }
}
