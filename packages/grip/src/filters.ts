import { type Bytes, type Result, toByteString } from "@pushpin/tnetstrings";
import { buildIdContent } from "./id-format.ts";
import { renderTemplate, variableResolver } from "./template.ts";

/** What a filter may look at: one item on its way to one subscriber. */
export interface FilterContext {
  /** Of the subscription: the instruct's meta, or what `set-meta` has set. */
  readonly subMeta: ReadonlyMap<string, string>;
  readonly itemMeta: ReadonlyMap<string, string>;
  /** Ids of the subscriber's channels, by name without the route's prefix, after the item. */
  prevIds(): ReadonlyMap<string, string>;
  /** Whether the connection has this channel, by name without the route's prefix. */
  isSubscribed(channel: string): boolean;
}

export type FilterOutcome =
  | { readonly action: "send"; readonly content: Bytes }
  | { readonly action: "drop" }
  /** Without the filter's name. */
  | { readonly action: "error"; readonly text: string };

interface Filter {
  /** Takes part in the comparison with an item's `content-filters`. */
  readonly targetsContent: boolean;
  /** Absent: an HTTP endpoint is asked (`networkFilterRequest`). */
  readonly apply?: (context: FilterContext, content: Bytes) => FilterOutcome;
}

const DROP: FilterOutcome = { action: "drop" };

const FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  [
    "skip-self",
    {
      targetsContent: false,
      apply: ({ subMeta, itemMeta }, content) => {
        const user = subMeta.get("user");
        return user && user === itemMeta.get("sender") ? DROP : { action: "send", content };
      },
    },
  ],
  [
    "skip-users",
    {
      targetsContent: false,
      apply: ({ subMeta, itemMeta }, content) => {
        const user = subMeta.get("user");
        const skipped = itemMeta.get("skip_users");
        if (!user || !skipped) return { action: "send", content };
        return skipped.split(",").some((one) => one.trim() === user)
          ? DROP
          : { action: "send", content };
      },
    },
  ],
  [
    "require-sub",
    {
      targetsContent: false,
      apply: (context, content) => {
        const channel = context.itemMeta.get("require_sub");
        return channel && !context.isSubscribed(channel) ? DROP : { action: "send", content };
      },
    },
  ],
  [
    "build-id",
    {
      targetsContent: true,
      apply: (context, content) =>
        outcome(buildIdContent(context.subMeta, context.prevIds(), content)),
    },
  ],
  [
    "var-subst",
    {
      targetsContent: true,
      apply: ({ subMeta }, content) => {
        if (!hasPercent(content)) return { action: "send", content };
        return outcome(renderTemplate(toByteString(content), variableResolver(subMeta)));
      },
    },
  ],
  ["http-check", { targetsContent: false }],
  ["http-modify", { targetsContent: true }],
]);

/** Runs one filter that decides here and now. Unknown names change nothing. */
export function applyFilter(name: string, context: FilterContext, content: Bytes): FilterOutcome {
  const apply = FILTERS.get(name)?.apply;
  return apply === undefined ? { action: "send", content } : apply(context, content);
}

/** Whether an HTTP endpoint decides. */
export function isNetworkFilter(name: string): boolean {
  const filter = FILTERS.get(name);
  return filter !== undefined && filter.apply === undefined;
}

/** Those filters of a subscription that an item's `content-filters` must name, in order. */
export function contentFilterNames(filters: readonly string[]): string[] {
  return filters.filter((name) => FILTERS.get(name)?.targetsContent === true);
}

/**
 * The text for debug if an item's `content-filters` differ from the subscription's; undefined if
 * they agree or the item has none (handler.md 6.3).
 */
export function contentFilterMismatch(
  filters: readonly string[],
  wanted: readonly string[] | undefined,
): string | undefined {
  if (wanted === undefined) return undefined;
  const own = contentFilterNames(filters);
  if (own.length === wanted.length && own.every((one, i) => one === wanted[i])) return undefined;
  return `content filter mismatch: subscription=${own.join(",")} message=${wanted.join(",")}`;
}

function hasPercent(content: Bytes): boolean {
  return typeof content === "string" ? content.includes("%") : content.includes(0x25);
}

function outcome(result: Result<Bytes>): FilterOutcome {
  return result.ok
    ? { action: "send", content: result.value }
    : { action: "error", text: result.error };
}
