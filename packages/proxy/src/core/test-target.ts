import { editTarget, splitUri } from "./relay/request-transform.ts";
import type { Route } from "./routes/route-table.ts";

/** What is asked of the built-in backend: path below the route's, without a last slash. */
export function readTestRequest(uri: string, route: Route): { path: string; channels: string[] } {
  const target = editTarget(splitUri(uri).target, route) ?? "";
  const query = target.indexOf("?");
  let path = query < 0 ? target : target.slice(0, query);
  const begin = route.pathBegin.endsWith("/") ? route.pathBegin.slice(0, -1) : route.pathBegin;
  if (path.startsWith(begin)) path = path.slice(begin.length);
  const channels = new URLSearchParams(query < 0 ? "" : target.slice(query + 1)).getAll("channel");
  return {
    path: path.length > 1 ? path.replace(/\/$/, "") : path,
    channels: channels.length === 0 ? ["test"] : channels,
  };
}

/** The built-in backend of a `test` target (proxy.md 7.4). */
export function testResponse(
  uri: string,
  route: Route,
  isTooLarge: boolean,
): { code: number; reason: string; headers: string[]; body: string } {
  const { path, channels } = readTestRequest(uri, route);
  const headers = ["Content-Type", "text/plain"];
  if (isTooLarge) return { code: 400, reason: "Bad Request", headers, body: "request too large\n" };
  const hold = (mode: string) => ["Grip-Hold", mode, "Grip-Channel", channels.join(", ")];
  const ok = { code: 200, reason: "OK" };
  switch (path) {
    case "/":
      return { ...ok, headers, body: "Hello from the Pushpin test handler!\n" };
    case "/response":
      return { ...ok, headers: [...headers, ...hold("response")], body: "nothing for now\n" };
    case "/stream":
      return { ...ok, headers: [...headers, ...hold("stream")], body: "[stream opened]\n" };
    default:
      return { code: 404, reason: "Not Found", headers, body: "no such test resource\n" };
  }
}
