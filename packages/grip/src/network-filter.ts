import { getHeader } from "@pushpin/http";
import { type Bytes, fail, fromUtf8, ok, type Result, toUtf8 } from "@pushpin/tnetstrings";
import type { FilterContext, FilterOutcome } from "./filters.ts";
import { renderTextMap } from "./json.ts";

/** Limit: bytes of a replacement content. */
export const NETWORK_FILTER_CONTENT_MAX_BYTES = 100_000;
export const NETWORK_FILTER_TIMEOUT_MS = 10_000;

/** What to ask the endpoint of `http-check` or `http-modify`; always POST (handler.md 6.5). */
export interface NetworkFilterRequest {
  readonly uri: string;
  /** Flat. */
  readonly headers: string[];
  readonly body: Bytes;
}

/** The request for one item and subscriber. `baseUri` is the client's current URI. */
export function networkFilterRequest(
  name: string,
  context: FilterContext,
  baseUri: string,
  content: Bytes,
): Result<NetworkFilterRequest> {
  const url = context.subMeta.get("url");
  if (url === undefined || url === "") return fail("missing url value");
  const uri = resolveUrl(url, baseUri);
  if (uri === undefined) return fail("invalid url value");
  const headers = [
    "Sub-Meta",
    renderTextMap(context.subMeta),
    "Pub-Meta",
    renderTextMap(context.itemMeta),
  ];
  for (const [channel, id] of context.prevIds())
    headers.push("Grip-Last", `${channel}; last-id=${id}`);
  return ok({ uri, headers, body: name === "http-modify" ? content : "" });
}

function resolveUrl(url: string, baseUri: string): string | undefined {
  const base = toUtf8(baseUri).replace(/^ws/i, "http");
  const text = toUtf8(url);
  if (!URL.canParse(text, base)) return undefined;
  const resolved = new URL(text, base);
  resolved.protocol = resolved.protocol.replace(/^ws/, "http");
  return /^https?:$/.test(resolved.protocol) ? fromUtf8(resolved.href) : undefined;
}

/** What a complete answer means for the item. */
export function readNetworkFilterAnswer(
  name: string,
  answer: {
    readonly code: number;
    readonly headers: readonly string[];
    readonly body: Bytes;
  },
  content: Bytes,
  maxBytes = NETWORK_FILTER_CONTENT_MAX_BYTES,
): FilterOutcome {
  const { code, headers, body } = answer;
  if (code !== 200 && code !== 204)
    return {
      action: "error",
      text: `unexpected network request status: code=${code}`,
    };
  if (getHeader(headers, "action") === "drop") return { action: "drop" };
  if (name !== "http-modify" || code === 204) return { action: "send", content };
  // Limit: NETWORK_FILTER_CONTENT_MAX_BYTES
  if (body.length > maxBytes)
    return {
      action: "error",
      text: `network response exceeded ${maxBytes} bytes`,
    };
  return { action: "send", content: body };
}
