// A backend in a process of its own, so that its work is not counted: answers "hello\n" over HTTP/1.1,
// over TLS, and over HTTP/2, and says its ports on a line.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createSecureServer } from "node:http2";

const tests = readFileSync(new URL("../test/httpclient/certificate.ts", import.meta.url), "utf8");
const [cert, key] = tests.match(/-----BEGIN[^`]*/g) ?? [];

const answer = (request, response) => {
  request.resume();
  response.setHeader("content-type", "text/plain");
  response.end("hello\n");
};
const servers = [
  createServer({ keepAliveTimeout: 60_000 }, answer),
  createSecureServer({ cert, key, allowHTTP1: true, keepAliveTimeout: 60_000 }, answer),
];
await Promise.all(
  servers.map((one) => new Promise((resolve) => one.listen(0, "127.0.0.1", resolve))),
);
console.log(servers.map((one) => one.address().port).join(" "));
process.stdin.on("end", () => process.exit()).resume();
