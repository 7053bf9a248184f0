import { type Framing, getHeader } from "@pushpin/http";

export interface ResponseStart {
  readonly code: number;
  readonly headers: readonly string[];
  /** Body bytes that came with the head; the whole body unless `more`. */
  readonly bodyBytes: number;
  readonly more: boolean;
  readonly isHead: boolean;
  readonly minorVersion: 0 | 1;
}

export interface ResponsePlan {
  readonly framing: Framing;
  /** Announced to the client; undefined where nothing is announced. */
  readonly contentLength: number | undefined;
}

/** How the end of a response is told to the client (operations.md 4.6); undefined if it makes no sense. */
export function planResponse(start: ResponseStart): ResponsePlan | undefined {
  const text = getHeader(start.headers, "content-length");
  if (text !== undefined && !/^\d{1,15}$/.test(text)) return undefined;
  const announced = text === undefined ? undefined : Number(text);
  if (start.code === 204) return { framing: "none", contentLength: undefined };
  if (start.code === 304) return { framing: "none", contentLength: announced };
  if (start.isHead) {
    const known = start.more ? undefined : start.bodyBytes || undefined;
    return { framing: "none", contentLength: announced ?? known };
  }
  if (announced !== undefined) return { framing: "length", contentLength: announced };
  if (!start.more) return { framing: "length", contentLength: start.bodyBytes };
  return { framing: start.minorVersion === 1 ? "chunked" : "close", contentLength: undefined };
}
