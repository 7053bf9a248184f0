import { getAllHeaders, splitList } from "@pushpin/http";
import { Fields, fail, ok, type Result, type TnetMap } from "@pushpin/tnetstrings";
import { decodePairs } from "@pushpin/zrpc";

export interface InspectRequest {
  readonly method: string;
  readonly uri: string;
  readonly headers: string[];
  readonly body: string;
  readonly getSession: boolean;
  readonly autoShare: boolean;
}

export function decodeInspect(args: TnetMap): Result<InspectRequest> {
  const fields = new Fields(args, "inspect");
  const headers = decodePairs(fields.list("headers") ?? []);
  if (headers === undefined) fields.fail("headers", "expected pairs");
  const request = {
    method: fields.requiredText("method"),
    uri: fields.requiredText("uri"),
    headers: headers ?? [],
    body: fields.text("body") ?? "",
    getSession: fields.boolean("get-session") ?? false,
    autoShare: fields.boolean("auto-share") ?? false,
  };
  return fields.error === undefined ? ok(request) : fail(fields.error);
}

/** Requests in flight with the same key share one request to the backend (handler.md 4.5). */
export function sharingKey(request: InspectRequest, shareAll: boolean): string | undefined {
  if (request.autoShare && request.method === "GET") {
    const query = request.uri.indexOf("?");
    const path = query < 0 ? request.uri : request.uri.slice(0, query);
    const lastIds = getAllHeaders(request.headers, "grip-last").flatMap(splitList).sort();
    return [`auto|${path}`, ...lastIds].join("|");
  }
  return shareAll ? `${request.method}|${request.uri}` : undefined;
}
