import {
  addressTo,
  splitUri,
  type TransformSettings,
  transformHeaders,
} from "./relay/request-transform.ts";
import type { Route, RouteTable } from "./routes/route-table.ts";

export interface ExplainRequest {
  readonly method: string;
  /** Absolute; `ws` and `wss` for WebSockets. Byte string. */
  readonly uri: string;
  /** Flat. */
  readonly headers: string[];
  readonly peerAddress: string;
  /** The client is a proxy that vouches for itself (`Grip-Sig`). */
  readonly isTrusted?: boolean;
  /** What the handler knows about the client's session. */
  readonly sid?: string | undefined;
  readonly lastIds?: ReadonlyMap<string, string> | undefined;
}

/** How a request differs behind the proxy; names in lower case. */
export interface HeaderChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

export interface ExplainedTarget {
  readonly target: string;
  /** Undefined: the path edits leave no path, and the request is answered with 502. */
  readonly uri: string | undefined;
  /** Flat, as the target gets them; tokens and what must not be seen are replaced. */
  readonly headers: readonly string[];
  readonly changes: HeaderChanges;
  readonly notes: readonly string[];
  /** What came of asking it; absent where nobody was asked. */
  readonly result?: string;
}

/** What a backend's instructions order. */
export type ExplainedInstruct =
  | { readonly error: string }
  | {
      readonly hold: "response" | "stream" | "none";
      /** With the route's prefix; those of the target, which have none, come last. */
      readonly channels: readonly {
        readonly name: string;
        readonly prevId?: string;
        readonly filters?: readonly string[];
      }[];
      readonly timeoutS?: number;
      readonly keepAlive?: { readonly timeoutS: number; readonly mode: string };
      readonly meta?: Readonly<Record<string, string>>;
      readonly nextLink?: string;
      readonly goneLink?: string;
    };

/** What came of a request that was really made. */
export interface ExplainedOutcome {
  readonly response?: {
    readonly code: number;
    readonly reason: string;
    /** Flat. */
    readonly headers: readonly string[];
  };
  readonly instruct?: ExplainedInstruct;
  /** What a client that had not asked for an explanation would have got, in a sentence. */
  readonly answer: string;
}

/** Why a request goes where it goes: from the routes alone, or with what came of it. */
export interface Explanation {
  readonly request: { readonly method: string; readonly uri: string };
  readonly host: string;
  readonly candidates: readonly {
    readonly line: number;
    readonly id: string;
    readonly outcome: string;
  }[];
  /** Further rules of the host that do not apply, and are not listed. */
  readonly candidatesLeftOut?: number;
  readonly route: { readonly line: number; readonly id: string } | undefined;
  readonly isGrip: boolean;
  readonly isTrusted: boolean;
  readonly signature: string;
  readonly targets: readonly ExplainedTarget[];
  readonly outcome?: ExplainedOutcome;
}

export interface ExplainSettings {
  readonly transform: TransformSettings;
  /** Whether the key can be used; begins with `signed` if so, else says why not. */
  readonly keyState: (route: Route) => string;
  /** Values that the route sets may be credentials: not everybody may see them. */
  readonly showsRouteHeaders: boolean;
}

/** Limit: rules that do not apply, of those an explanation lists; the others are counted. */
export const MISMATCHES_SHOWN_MAX = 50;

const NO_OUTCOMES: readonly string[] = [];

/**
 * What the proxy does with a request. `chosen` is the route that was taken where the request named
 * it; `results` says per target what came of it.
 */
export function explain(
  request: ExplainRequest,
  routes: RouteTable,
  settings: ExplainSettings,
  chosen?: Route,
  results: readonly string[] = NO_OUTCOMES,
  outcome?: ExplainedOutcome,
): Explanation {
  const { scheme, host, target } = splitUri(request.uri);
  const isWebSocket = scheme === "ws" || scheme === "wss";
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  const proto = isWebSocket ? "ws" : "http";
  const secure = scheme === "https" || scheme === "wss";
  const best = routes.find(proto, secure, host, path);
  const route = chosen ?? best;
  const rules = routes.candidates(proto, secure, host, path);
  let mismatches = 0;
  const candidates = rules
    .filter(({ mismatch }) => {
      if (mismatch !== undefined) mismatches += 1;
      return mismatch === undefined || mismatches <= MISMATCHES_SHOWN_MAX;
    })
    .map(({ route: one, mismatch }) => ({
      line: one.line,
      id: one.id,
      outcome:
        one === best
          ? "matches, and is the best"
          : (mismatch ?? "matches, but another one is better"),
    }));
  if (route !== undefined && route !== best)
    candidates.push({ line: route.line, id: route.id, outcome: "named by the request" });
  const isTrusted = request.isTrusted ?? false;
  return {
    request: { method: request.method, uri: request.uri },
    host,
    candidates,
    ...(mismatches > MISMATCHES_SHOWN_MAX
      ? { candidatesLeftOut: mismatches - MISMATCHES_SHOWN_MAX }
      : {}),
    route: route === undefined ? undefined : { line: route.line, id: route.id },
    isGrip: route !== undefined && !route.noGrip,
    isTrusted,
    signature: route === undefined ? "" : signatureOf(route, isTrusted, settings),
    targets:
      route === undefined ? [] : explainTargets(request, route, isWebSocket, settings, results),
    ...(outcome === undefined ? {} : { outcome }),
  };
}

function signatureOf(route: Route, isTrusted: boolean, settings: ExplainSettings): string {
  if (isTrusted) return "none: the client's own is passed on";
  return route.noGrip ? "none: no_grip" : settings.keyState(route);
}

function explainTargets(
  request: ExplainRequest,
  route: Route,
  isWebSocket: boolean,
  settings: ExplainSettings,
  results: readonly string[],
): ExplainedTarget[] {
  const trustedClient = request.isTrusted ?? false;
  const headers = transformHeaders(
    {
      uri: request.uri,
      headers: request.headers,
      peerAddress: request.peerAddress,
      trustedClient,
      isInternal: false,
      signature: signatureOf(route, trustedClient, settings).startsWith("signed") ? TOKEN : "",
      sid: request.sid,
      lastIds: request.lastIds,
    },
    route,
    settings.transform,
  );
  return route.targets.map((target, i) => {
    const notes: string[] = [];
    if (target.overHttp && isWebSocket) notes.push("WebSocket-over-HTTP: events in POST requests");
    if (target.kind === "zhttpreq" && isWebSocket && !target.overHttp)
      notes.push("WebSockets cannot be used with this target: 502");
    if (route.reconnect && isWebSocket && target.kind === "backend" && !target.overHttp)
      notes.push("reconnect: connected again when the HTTP client dies");
    if (target.ssl) notes.push(target.insecure ? "TLS, certificate not verified" : "TLS");
    if (!target.trusted) notes.push("untrusted: address policies apply");
    if (target.subscriptions.length > 0)
      notes.push(`subscribed to ${target.subscriptions.join(", ")}`);
    const isSocket = isWebSocket && !target.overHttp;
    const addressed = addressTo(target, route, request.uri, headers, isSocket);
    const sent = addressed?.headers ?? [];
    return {
      target: target.label,
      uri: addressed?.uri,
      headers: settings.showsRouteHeaders ? sent : withoutRouteValues(sent, route),
      changes: changesOf(request.headers, sent),
      notes,
      ...(results.length === 0 ? {} : { result: results[i] ?? "not asked" }),
    };
  });
}

const TOKEN = "<token>";
const HIDDEN = "<set by the route>";

function withoutRouteValues(headers: readonly string[], route: Route): readonly string[] {
  const names = new Set(route.headers.filter((_, i) => i % 2 === 0).map((one) => one.toLowerCase()));
  if (names.size === 0) return headers;
  return headers.map((one, i) =>
    i % 2 === 1 && names.has((headers[i - 1] as string).toLowerCase()) ? HIDDEN : one,
  );
}

function changesOf(before: readonly string[], after: readonly string[]): HeaderChanges {
  const old = byName(before);
  const sent = byName(after);
  const added: string[] = [];
  const changed: string[] = [];
  for (const [name, values] of sent) {
    const known = old.get(name);
    if (known === undefined) added.push(name);
    else if (known.join("\n") !== values.join("\n")) changed.push(name);
  }
  return { added, changed, removed: [...old.keys()].filter((name) => !sent.has(name)) };
}

function byName(headers: readonly string[]): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    const values = names.get(name);
    if (values === undefined) names.set(name, [headers[i + 1] as string]);
    else values.push(headers[i + 1] as string);
  }
  return names;
}

/** The same for people. */
export function renderExplanation(explanation: Explanation): string {
  const { request, host, candidates, route, targets, outcome } = explanation;
  const lines = [`${request.method} ${request.uri}`, `host: ${host}`];
  if (candidates.length === 0) lines.push("no route is for this host, and there is no default one");
  for (const { line, id, outcome: why } of candidates) lines.push(`line ${line} (${id}): ${why}`);
  if (explanation.candidatesLeftOut !== undefined)
    lines.push(`${explanation.candidatesLeftOut} other rules of the host do not apply`);
  if (route === undefined) {
    lines.push("answer: 502 Route not found");
    return `${lines.join("\n")}\n`;
  }
  lines.push(`route: line ${route.line}, id ${route.id}`);
  const grip = explanation.isTrusted
    ? "passed through, the client is a trusted proxy"
    : explanation.isGrip
      ? "yes"
      : "no (no_grip)";
  lines.push(`GRIP: ${grip}; signature: ${explanation.signature}`);
  for (const [i, one] of targets.entries()) lines.push(...renderTarget(i + 1, one));
  if (targets.length > 1) lines.push("a target is tried if the one before it cannot be connected");
  if (outcome !== undefined) lines.push(...renderOutcome(outcome));
  return `${lines.join("\n")}\n`;
}

function renderTarget(number: number, one: ExplainedTarget): string[] {
  const notes = one.notes.length > 0 ? ` (${one.notes.join("; ")})` : "";
  const lines = [`target ${number}: ${one.target}${notes}`];
  if (one.result !== undefined) lines.push(`  result: ${one.result}`);
  if (one.uri === undefined) return [...lines, "  the edited path is none: 502"];
  lines.push(`  ${one.uri}`, ...pairs(one.headers));
  for (const [what, names] of Object.entries(one.changes) as [string, readonly string[]][])
    if (names.length > 0) lines.push(`  ${what}: ${names.join(", ")}`);
  return lines;
}

function renderOutcome({ response, instruct, answer }: ExplainedOutcome): string[] {
  const lines: string[] = [];
  if (response !== undefined) {
    lines.push(`response: ${response.code} ${response.reason}`, ...pairs(response.headers));
  }
  if (instruct !== undefined) lines.push(...renderInstruct(instruct));
  lines.push(`answer: ${answer}`);
  return lines;
}

function renderInstruct(instruct: ExplainedInstruct): string[] {
  if ("error" in instruct) return [`instruct: ${instruct.error}`];
  const { hold, channels, timeoutS, keepAlive, meta, nextLink, goneLink } = instruct;
  const lines = [`instruct: hold ${hold}${timeoutS === undefined ? "" : `, for ${timeoutS} s`}`];
  for (const { name, prevId, filters } of channels) {
    const after = prevId === undefined ? "" : `, behind id ${prevId}`;
    const through = filters === undefined ? "" : `, filters ${filters.join(", ")}`;
    lines.push(`  channel ${name}${after}${through}`);
  }
  if (keepAlive !== undefined)
    lines.push(`  keep-alive: every ${keepAlive.timeoutS} s (${keepAlive.mode})`);
  for (const [name, value] of Object.entries(meta ?? {})) lines.push(`  meta ${name}=${value}`);
  if (nextLink !== undefined) lines.push(`  next: ${nextLink}`);
  if (goneLink !== undefined) lines.push(`  gone: ${goneLink}`);
  return lines;
}

function pairs(headers: readonly string[]): string[] {
  const lines: string[] = [];
  for (let n = 0; n + 1 < headers.length; n += 2)
    lines.push(`  ${headers[n] as string}: ${headers[n + 1] as string}`);
  return lines;
}
