import { getAllHeaders, getHeader, type HeaderList } from "@pushpin/http";

/** Response headers a script may read without being told. */
const SAFELISTED: ReadonlySet<string> = new Set([
  "cache-control",
  "content-language",
  "content-length",
  "content-type",
  "expires",
  "last-modified",
  "pragma",
]);

/**
 * The response headers with cross-origin headers at the end, each only where the response does not
 * have it (proxy.md 4.1).
 */
export function withCors(
  headers: readonly string[],
  requestHeaders: readonly string[],
): HeaderList {
  const present = new Set<string>();
  const exposed = new Map<string, string>();
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    const lower = name.toLowerCase();
    present.add(lower);
    if (SAFELISTED.has(lower) || /^(?:access-control|grip)-/.test(lower)) continue;
    if (!exposed.has(lower)) exposed.set(lower, name);
  }
  const out = [...headers];
  const add = (name: string, value: string) => {
    if (value !== "" && !present.has(name.toLowerCase())) out.push(name, value);
  };
  add(
    "Access-Control-Allow-Methods",
    getHeader(requestHeaders, "access-control-request-method") ||
      "OPTIONS, HEAD, GET, POST, PUT, DELETE",
  );
  add(
    "Access-Control-Allow-Headers",
    getAllHeaders(requestHeaders, "access-control-request-headers").join(", "),
  );
  add("Access-Control-Expose-Headers", [...exposed.values()].join(", "));
  add("Access-Control-Allow-Credentials", "true");
  add("Access-Control-Allow-Origin", getHeader(requestHeaders, "origin") || "*");
  add("Access-Control-Max-Age", "3600");
  return out;
}
