import { ChunkedDecoder, parseRequestHead, renderResponseHead } from "@pushpin/http";
import { measure } from "./measure.mjs";

const browser = Buffer.from(
  [
    "GET /path/to/resource?with=query HTTP/1.1",
    "Host: www.example.com",
    "Connection: keep-alive",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Referer: https://www.example.com/another/page",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
    "Upgrade-Insecure-Requests: 1",
    "Cache-Control: max-age=0",
    "X-Requested-With: XMLHttpRequest",
    "",
    "",
  ].join("\r\n"),
);
const small = Buffer.from("GET / HTTP/1.1\r\nHost: localhost:7999\r\n\r\n");
for (const [name, bytes] of [
  ["of a browser, 11 fields", browser],
  ["of one field", small],
]) {
  const end = bytes.length - 4;
  measure(`parse head: ${name}`, () => {
    const head = parseRequestHead(bytes.latin1Slice(0, end), 100);
    if (!head.ok) throw new Error(head.error.text);
  });
}
const response = {
  minorVersion: 1,
  code: 200,
  reason: "OK",
  headers: ["Server", "nginx", "Content-Type", "text/plain", "Content-Length", "6", "ETag", '"1"'],
  framing: "length",
  contentLength: 6,
  persistent: true,
};
measure("render head: 4 fields", () => renderResponseHead(response));
const chunked = Buffer.from(`${"400\r\n"}${"x".repeat(1024)}\r\n0\r\n\r\n`);
measure("chunked body: one chunk of 1 KB", () => new ChunkedDecoder().decode(chunked, () => {}));
