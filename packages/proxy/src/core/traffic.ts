/** Header bytes as reports count them: names and values, no separators (proxy.md 7.2). */
export function headerBytes(headers: readonly string[]): number {
  let bytes = 0;
  for (const text of headers) bytes += text.length;
  return bytes;
}

/** Method, path with query, and headers of a request with an absolute URI. */
export function requestHeaderBytes(
  method: string,
  uri: string,
  headers: readonly string[],
): number {
  const authority = uri.indexOf("://") + 3;
  const path = uri.indexOf("/", authority);
  return method.length + (path < 0 ? 1 : uri.length - path) + headerBytes(headers);
}
