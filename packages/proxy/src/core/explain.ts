import { addressTo, splitUri, type TransformSettings, transformHeaders } from "./relay/request-transform.ts";
import type { Route, RouteTable } from "./routes/route-table.ts";

export interface ExplainRequest {
  readonly method: string;
  /** Absolute; `ws` and `wss` for WebSockets. Byte string. */
  readonly uri: string;
  /** Flat. */
  readonly headers: string[];
  readonly peerAddress: string;
}

/** Why a request goes where it goes, from the routes alone. */
export interface Explanation {
  readonly request: { readonly method: string; readonly uri: string };
  readonly host: string;
  readonly candidates: readonly {
    readonly line: number;
    readonly id: string;
    readonly outcome: string;
  }[];
  readonly route: { readonly line: number; readonly id: string } | undefined;
  readonly isGrip: boolean;
  readonly signature: string;
  readonly targets: readonly {
    readonly target: string;
    /** Undefined: the path edits leave no path, and the request is answered with 502. */
    readonly uri: string | undefined;
    readonly headers: readonly string[];
    readonly notes: readonly string[];
  }[];
}

export interface ExplainSettings {
  readonly transform: TransformSettings;
  readonly sigIssuer: string;
  /** Whether the key can be used; the message says why not. */
  readonly keyState: (route: Route) => string;
}

/** What the proxy would do with a request of a client nobody vouches for. */
export function explain(
  request: ExplainRequest,
  routes: RouteTable,
  settings: ExplainSettings,
): Explanation {
  const { scheme, host, target } = splitUri(request.uri);
  const isWebSocket = scheme === "ws" || scheme === "wss";
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  const proto = isWebSocket ? "ws" : "http";
  const secure = scheme === "https" || scheme === "wss";
  const route = routes.find(proto, secure, host, path);
  const candidates = routes
    .candidates(proto, secure, host, path)
    .map(({ route: one, mismatch }) => ({
      line: one.line,
      id: one.id,
      outcome:
        one === route ? "matches, and is the best" : (mismatch ?? "matches, but another one is better"),
    }));
  const isGrip = route !== undefined && !route.noGrip;
  return {
    request: { method: request.method, uri: request.uri },
    host,
    candidates,
    route: route === undefined ? undefined : { line: route.line, id: route.id },
    isGrip,
    signature: route === undefined ? "" : settings.keyState(route),
    targets: route === undefined ? [] : explainTargets(request, route, isWebSocket, settings),
  };
}

function explainTargets(
  request: ExplainRequest,
  route: Route,
  isWebSocket: boolean,
  settings: ExplainSettings,
): Explanation["targets"] {
  const headers = transformHeaders(
    {
      uri: request.uri,
      headers: request.headers,
      peerAddress: request.peerAddress,
      trustedClient: false,
      isInternal: false,
      signature: settings.keyState(route).startsWith("signed") ? "<token>" : "",
      sid: undefined,
      lastIds: undefined,
    },
    route,
    settings.transform,
  );
  return route.targets.map((target) => {
    const notes: string[] = [];
    if (target.overHttp && isWebSocket) notes.push("WebSocket-over-HTTP: events in POST requests");
    if (target.kind === "zhttpreq" && isWebSocket && !target.overHttp)
      notes.push("WebSockets cannot be used with this target: 502");
    if (target.ssl) notes.push(target.insecure ? "TLS, certificate not verified" : "TLS");
    if (!target.trusted) notes.push("untrusted: address policies apply");
    if (target.subscriptions.length > 0)
      notes.push(`subscribed to ${target.subscriptions.join(", ")}`);
    const addressed = addressTo(target, route, request.uri, headers, isWebSocket && !target.overHttp);
    return {
      target: target.label,
      uri: addressed?.uri,
      headers: addressed?.headers ?? [],
      notes,
    };
  });
}

/** The same for people. */
export function renderExplanation(explanation: Explanation): string {
  const { request, host, candidates, route, targets } = explanation;
  const lines = [`${request.method} ${request.uri}`, `host: ${host}`];
  if (candidates.length === 0) lines.push("no route is for this host, and there is no default one");
  for (const { line, id, outcome } of candidates) lines.push(`line ${line} (${id}): ${outcome}`);
  if (route === undefined) {
    lines.push("answer: 502 Route not found");
    return `${lines.join("\n")}\n`;
  }
  lines.push(`route: line ${route.line}, id ${route.id}`);
  lines.push(`GRIP: ${explanation.isGrip ? "yes" : "no (no_grip)"}; signature: ${explanation.signature}`);
  for (const [i, { target, uri, headers, notes }] of targets.entries()) {
    lines.push(`target ${i + 1}: ${target}${notes.length > 0 ? ` (${notes.join("; ")})` : ""}`);
    if (uri === undefined) {
      lines.push("  the edited path is none: 502");
      continue;
    }
    lines.push(`  ${uri}`);
    for (let n = 0; n + 1 < headers.length; n += 2)
      lines.push(`  ${headers[n] as string}: ${headers[n + 1] as string}`);
  }
  if (targets.length > 1) lines.push("a target is tried if the one before it cannot be connected");
  return `${lines.join("\n")}\n`;
}
