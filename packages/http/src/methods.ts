const IDEMPOTENT: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "PUT",
  "DELETE",
]);

/** RFC 9110 9.2.2: such a request may be sent again when nobody knows whether it arrived. */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}
