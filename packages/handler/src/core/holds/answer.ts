import { type HttpResponseFormat, renderJsonp, withCors } from "@pushpin/grip";
import { filterHeaders, getAllHeaders, reasonPhrase, splitList } from "@pushpin/http";
import type { Bytes } from "@pushpin/tnetstrings";
import type { HttpResponseData, RequestState } from "@pushpin/zrpc";

/** Headers that follow from how the answer is written. */
const FRAMING = new Set(["content-length", "transfer-encoding", "connection", "keep-alive"]);

/** The answer an item makes of a held response (handler.md 3.3). */
export function mergeAnswer(
  held: HttpResponseData,
  item: {
    readonly code: number;
    readonly reason: string;
    readonly headers: readonly string[];
  },
  body: Bytes,
): HttpResponseData {
  const replaced = new Set<string>();
  // Compat: what a publisher lists here is hidden, the reverse of what a backend's list does.
  const hidden = new Set(
    getAllHeaders(item.headers, "grip-expose-headers")
      .flatMap(splitList)
      .map((one) => one.toLowerCase()),
  );
  for (let i = 0; i < item.headers.length; i += 2)
    replaced.add((item.headers[i] as string).toLowerCase());
  const headers = filterHeaders(held.headers, (name) => replaced.has(name));
  const merged = filterHeaders(
    [...headers, ...item.headers],
    (name) => FRAMING.has(name) || name.startsWith("grip-") || hidden.has(name),
  );
  const reason = item.reason !== "" ? item.reason : reasonPhrase(item.code);
  return { code: item.code, reason, headers: merged, body };
}

/** The answer one item makes of many held responses, worked out once for those that are alike. */
export class SharedAnswer {
  readonly #item: HttpResponseFormat;
  #headers: readonly string[] | undefined;
  #answer: HttpResponseData | undefined;

  constructor(item: HttpResponseFormat) {
    this.#item = item;
  }

  /** For a client without JSON-P and CORS; the same object as the last time if it is the same answer. */
  of(held: HttpResponseData, client: RequestState): HttpResponseData {
    const { headers } = held;
    if (this.#answer === undefined || !sameTexts(headers, this.#headers)) {
      this.#headers = headers;
      this.#answer = finishAnswer(mergeAnswer(held, this.#item, this.#item.body), client, []);
    }
    return this.#answer;
  }
}

function sameTexts(a: readonly string[], b: readonly string[] | undefined): boolean {
  return a.length === b?.length && a.every((text, i) => text === b[i]);
}

/** What is counted as sent for a head. */
export function headBytes({ code, reason, headers }: HttpResponseData): number {
  let bytes = String(code).length + reason.length;
  for (const text of headers) bytes += text.length;
  return bytes;
}

/** The answer as the client gets it: JSON-P or CORS where the route says so, and its length. */
export function finishAnswer(
  answer: HttpResponseData,
  client: RequestState,
  requestHeaders: readonly string[],
): HttpResponseData {
  let { code, reason, headers, body } = answer;
  headers = filterHeaders(headers, (name) => FRAMING.has(name));
  if (client.jsonpCallback !== undefined && client.jsonpCallback !== "") {
    body = renderJsonp(
      {
        callback: client.jsonpCallback,
        isExtended: client.jsonpExtendedResponse ?? false,
      },
      { ...answer, headers },
    );
    headers = [
      ...filterHeaders(headers, (name) => name === "content-type"),
      "Content-Type",
      "application/javascript",
    ];
    code = 200;
    reason = "OK";
  } else if (client.autoCrossOrigin) headers = withCors(headers, requestHeaders);
  if (code === 204 || code === 304) return { code, reason, headers, body: "" };
  return {
    code,
    reason,
    headers: [...headers, "Content-Length", String(body.length)],
    body,
  };
}
