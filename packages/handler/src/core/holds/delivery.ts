import { type FilterContext, InitialBodyFilter, type Instruct } from "@pushpin/grip";
import { type Bytes, concatBytes, ok, type Result } from "@pushpin/tnetstrings";
import type { PublishItem } from "../publish-item.ts";
import type { Subscription } from "./hold.ts";

/** What filters see of a client and an item; built only where a subscription has filters. */
export function filterContext(
  item: PublishItem,
  meta: ReadonlyMap<string, string>,
  subscriptions: ReadonlyMap<string, Pick<Subscription, "name" | "prevId">>,
): FilterContext {
  return {
    subMeta: meta,
    itemMeta: item.meta,
    prevIds: () => {
      const ids = new Map<string, string>();
      for (const { name, prevId } of subscriptions.values())
        if (prevId !== undefined) ids.set(name, prevId);
      return ids;
    },
    isSubscribed: (name) => {
      for (const one of subscriptions.values()) if (one.name === name) return true;
      return false;
    },
  };
}

/** A whole body through the filters that target the initial response; the error is the text for debug. */
export function filterInitialBody(instruct: Instruct, body: Bytes): Result<Bytes> {
  const filter = new InitialBodyFilter(instruct);
  if (!filter.isActive) return ok(body);
  const first = filter.update(body);
  if (!first.ok) return first;
  const rest = filter.finish();
  return rest.ok ? ok(concatBytes([first.value, rest.value])) : rest;
}
