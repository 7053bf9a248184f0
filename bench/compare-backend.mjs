// The backend of compare.mjs and flat.mjs, a process of its own: `/stream?c=CHANNEL` is held, all else answered.
import { createServer } from "node:http";

createServer((request, response) => {
  const { url = "/" } = request;
  response.setHeader("Content-Type", "text/plain");
  if (!url.startsWith("/stream")) {
    response.setHeader("Content-Length", 6);
    response.end("plain\n");
    return;
  }
  response.setHeader("Grip-Hold", "stream");
  response.setHeader("Grip-Channel", new URL(url, "http://backend").searchParams.get("c") ?? "all");
  response.end("open~\n");
}).listen(0, "127.0.0.1", function () {
  console.log(this.address().port);
});
