import { getHeader } from "@pushpin/http";
import type { ClientRequest } from "../relay/client-request.ts";

/** Every answer has these behind its own headers (proxy.md 6). */
export function commonHeaders(requestHeaders: readonly string[]): string[] {
  return [
    "Cache-Control",
    "no-store, no-cache, must-revalidate, max-age=0",
    "Access-Control-Allow-Origin",
    getHeader(requestHeaders, "origin") || "*",
    "Access-Control-Allow-Credentials",
    "true",
  ];
}

/** A whole answer. */
export function answer(
  client: ClientRequest,
  code: number,
  reason: string,
  headers: readonly string[],
  body: string,
): void {
  const length = code === 204 || code === 304 ? [] : ["Content-Length", String(body.length)];
  client.answerWith({
    code,
    reason,
    headers: [...headers, ...length, ...commonHeaders(client.info.headers)],
    body,
  });
}

export function answerText(client: ClientRequest, code: number, reason: string, text: string): void {
  answer(client, code, reason, ["Content-Type", "text/plain"], text);
}

export function infoBody(entropy: number): string {
  return `{"cookie_needed":false,"entropy":${entropy},"origins":["*:*"],"websocket":true}\n`;
}

/** A page for browsers that cannot talk across origins: it loads the client library and lends it its own. */
export function iframeBody(scriptUrl: string): string {
  const url = scriptUrl.replace(/[<>"&]/g, (char) => `&#${char.charCodeAt(0)};`);
  return `<!DOCTYPE html>
<html>
<head>
  <meta charset="UTF-8">
  <title>SockJS frame</title>
  <script src="${url}"></script>
  <script>
    SockJS.bootstrap_iframe();
  </script>
</head>
<body></body>
</html>
`;
}
