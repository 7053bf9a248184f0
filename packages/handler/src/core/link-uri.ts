import type { Instruct } from "@pushpin/grip";
import { fail, fromUtf8, ok, type Result, toUtf8 } from "@pushpin/tnetstrings";

/** The instruct with its links made absolute: `base` is the URI of what carried them. */
export function resolveLinks(instruct: Instruct, base: string): Result<Instruct> {
  let { nextLink, goneLink } = instruct;
  if (nextLink === undefined && goneLink === undefined) return ok(instruct);
  if (nextLink !== undefined) {
    const uri = resolveLink(nextLink.uri, base);
    if (uri === undefined) return fail("Grip-Link contains invalid link");
    nextLink = { ...nextLink, uri };
  }
  if (goneLink !== undefined) {
    goneLink = resolveLink(goneLink, base);
    if (goneLink === undefined) return fail("Grip-Link contains invalid link");
  }
  return ok({ ...instruct, nextLink, goneLink });
}

function resolveLink(uri: string, base: string): string | undefined {
  try {
    const resolved = new URL(toUtf8(uri), toUtf8(base));
    if (resolved.protocol !== "http:" && resolved.protocol !== "https:") return undefined;
    resolved.hash = "";
    return fromUtf8(resolved.href);
  } catch {
    return undefined;
  }
}
