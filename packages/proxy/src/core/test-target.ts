import { splitUri } from "./relay/request-transform.ts";
import type { Route } from "./routes/route-table.ts";

/** The built-in backend of a `test` target (proxy.md 7.4). */
export function testResponse(
  uri: string,
  route: Route,
  isTooLarge: boolean,
): { code: number; reason: string; headers: string[]; body: string } {
  const { target } = splitUri(uri);
  const query = target.indexOf("?");
  let path = query < 0 ? target : target.slice(0, query);
  const begin = route.pathBegin.endsWith("/") ? route.pathBegin.slice(0, -1) : route.pathBegin;
  path = path.slice(begin.length);
  const channels = new URLSearchParams(query < 0 ? "" : target.slice(query + 1)).getAll("channel");
  const channel = channels.length === 0 ? "test" : channels.join(", ");
  const plain = ["Content-Type", "text/plain"];
  if (isTooLarge)
    return { code: 400, reason: "Bad Request", headers: plain, body: "request too large\n" };
  switch (path.length > 1 ? path.replace(/\/$/, "") : path) {
    case "/":
      return {
        code: 200,
        reason: "OK",
        headers: plain,
        body: "Hello from the Pushpin test handler!\n",
      };
    case "/response":
      return {
        code: 200,
        reason: "OK",
        headers: [...plain, "Grip-Hold", "response", "Grip-Channel", channel],
        body: "nothing for now\n",
      };
    case "/stream":
      return {
        code: 200,
        reason: "OK",
        headers: [...plain, "Grip-Hold", "stream", "Grip-Channel", channel],
        body: "[stream opened]\n",
      };
    default:
      return { code: 404, reason: "Not Found", headers: plain, body: "no such test resource\n" };
  }
}
