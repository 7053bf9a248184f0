import {
  type Bytes,
  Fields,
  fail,
  ok,
  type Result,
  type Tnet,
  type TnetInput,
  type TnetMap,
} from "@pushpin/tnetstrings";
import { decodePairs, encodePairs } from "./envelope.ts";

/** One client connection that changes hands (wire.md 5.3). */
export interface RequestState {
  readonly rid: { readonly sender: string; readonly id: string };
  readonly inSeq: number;
  readonly outSeq: number;
  readonly outCredits: number;
  readonly https?: boolean;
  readonly peerAddress?: string;
  readonly logicalPeerAddress?: string;
  readonly debug?: boolean;
  readonly isRetry?: boolean;
  readonly autoCrossOrigin?: boolean;
  readonly jsonpCallback?: string;
  readonly jsonpExtendedResponse?: boolean;
  readonly unreportedTimeMs?: number;
  readonly responseCode?: number;
  readonly routerResp?: boolean;
  readonly userData?: Tnet;
}

export interface HttpRequestLine {
  readonly method: string;
  readonly uri: string;
}

export interface HttpRequestData extends HttpRequestLine {
  readonly headers: string[];
  readonly body: Bytes;
}

export interface HttpResponseData {
  readonly code: number;
  readonly reason: string;
  readonly headers: string[];
  readonly body: Bytes;
}

export interface InspectResult {
  readonly noProxy: boolean;
  readonly sharingKey?: string;
  readonly sid?: string;
  readonly lastIds?: ReadonlyMap<string, string>;
  readonly userData?: Tnet;
}

export interface AcceptRequest {
  readonly requests: readonly RequestState[];
  /** As sent to the backend. */
  readonly requestData: HttpRequestLine;
  /** As it came from the client. */
  readonly origRequestData: HttpRequestData;
  readonly inspect?: InspectResult;
  /** Absent if no backend was asked. */
  readonly response?: HttpResponseData;
  readonly route?: string;
  readonly separateStats?: boolean;
  readonly channelPrefix?: string;
  readonly channels?: readonly string[];
  readonly trusted?: boolean;
  readonly useSession?: boolean;
  readonly responseSent?: boolean;
  readonly logLevel?: number;
}

export interface AcceptResult {
  readonly accepted: boolean;
  readonly response?: HttpResponseData;
}

export interface RetryPacket {
  readonly requests: readonly RequestState[];
  readonly requestData: HttpRequestData;
  readonly inspect?: InspectResult;
  readonly route?: string;
  readonly retrySeq?: number;
}

/** Booleans are sent only when true; what is undefined is left out. */
function flag(value: boolean | undefined): true | undefined {
  return value === true ? true : undefined;
}

export function encodeRequestState(state: RequestState): TnetInput {
  return {
    rid: { sender: state.rid.sender, id: state.rid.id },
    "in-seq": state.inSeq,
    "out-seq": state.outSeq,
    "out-credits": state.outCredits,
    https: flag(state.https),
    "peer-address": state.peerAddress,
    "logical-peer-address": state.logicalPeerAddress,
    debug: flag(state.debug),
    "is-retry": flag(state.isRetry),
    "auto-cross-origin": flag(state.autoCrossOrigin),
    "jsonp-callback": state.jsonpCallback,
    "jsonp-extended-response": flag(state.jsonpExtendedResponse),
    "unreported-time": state.unreportedTimeMs,
    "response-code": state.responseCode,
    "router-resp": flag(state.routerResp),
    "user-data": state.userData,
  };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Sets `key` only where there is a value, as `exactOptionalPropertyTypes` wants it. */
function put<T, K extends keyof T>(to: T, key: K, value: T[K] | undefined): void {
  if (value !== undefined) to[key] = value;
}

export function decodeRequestState(value: Tnet, path: string): Result<RequestState> {
  if (!(value instanceof Map)) return fail(`${path}: expected a map`);
  const fields = new Fields(value, path);
  const rid = fields.map("rid");
  const ridFields = new Fields(rid ?? new Map(), `${path}.rid`);
  const state: Mutable<RequestState> = {
    rid: { sender: ridFields.requiredText("sender"), id: ridFields.requiredText("id") },
    inSeq: fields.requiredInteger("in-seq"),
    outSeq: fields.requiredInteger("out-seq"),
    outCredits: fields.requiredInteger("out-credits"),
  };
  put(state, "https", fields.boolean("https"));
  put(state, "peerAddress", fields.text("peer-address"));
  put(state, "logicalPeerAddress", fields.text("logical-peer-address"));
  put(state, "debug", fields.boolean("debug"));
  put(state, "isRetry", fields.boolean("is-retry"));
  put(state, "autoCrossOrigin", fields.boolean("auto-cross-origin"));
  put(state, "jsonpCallback", fields.text("jsonp-callback"));
  put(state, "jsonpExtendedResponse", fields.boolean("jsonp-extended-response"));
  put(state, "unreportedTimeMs", fields.integer("unreported-time"));
  put(state, "responseCode", fields.integer("response-code"));
  put(state, "routerResp", fields.boolean("router-resp"));
  put(state, "userData", fields.raw("user-data"));
  const error = ridFields.error ?? fields.error;
  return error === undefined ? ok(state) : fail(error);
}

export function encodeRequestData(data: HttpRequestData): TnetInput {
  return {
    method: data.method,
    uri: data.uri,
    headers: encodePairs(data.headers),
    body: data.body,
  };
}

/** Of the request as it was sent to the backend, the handler goes by the uri alone. */
function encodeRequestLine(data: HttpRequestLine): TnetInput {
  return { method: data.method, uri: data.uri };
}

export function encodeResponseData(data: HttpResponseData): TnetInput {
  return {
    code: data.code,
    reason: data.reason,
    headers: encodePairs(data.headers),
    body: data.body,
  };
}

function decodeRequestLine(map: TnetMap, path: string): Result<HttpRequestLine> {
  const fields = new Fields(map, path);
  const line = { method: fields.requiredText("method"), uri: fields.requiredText("uri") };
  return fields.error === undefined ? ok(line) : fail(fields.error);
}

function decodeRequestData(map: TnetMap, path: string): Result<HttpRequestData> {
  const fields = new Fields(map, path);
  const headers = decodePairs(fields.list("headers") ?? []);
  if (headers === undefined) fields.fail("headers", "expected pairs");
  const data = {
    method: fields.requiredText("method"),
    uri: fields.requiredText("uri"),
    headers: headers ?? [],
    body: fields.bytes("body") ?? "",
  };
  return fields.error === undefined ? ok(data) : fail(fields.error);
}

export function decodeResponseData(map: TnetMap, path: string): Result<HttpResponseData> {
  const fields = new Fields(map, path);
  const headers = decodePairs(fields.list("headers") ?? []);
  if (headers === undefined) fields.fail("headers", "expected pairs");
  const data = {
    code: fields.requiredInteger("code"),
    reason: fields.text("reason") ?? "",
    headers: headers ?? [],
    body: fields.bytes("body") ?? "",
  };
  return fields.error === undefined ? ok(data) : fail(fields.error);
}

export function encodeInspectResult(inspect: InspectResult): TnetInput {
  return {
    "no-proxy": inspect.noProxy,
    "sharing-key": inspect.sharingKey,
    sid: inspect.sid,
    "last-ids": inspect.lastIds,
    "user-data": inspect.userData,
  };
}

export function decodeInspectResult(value: Tnet): Result<InspectResult> {
  if (!(value instanceof Map)) return fail("inspect: expected a map");
  const fields = new Fields(value, "inspect");
  const ids = fields.map("last-ids");
  const lastIds = new Map<string, string>();
  for (const [channel, id] of ids ?? []) {
    if (typeof id === "string") lastIds.set(channel, id);
    else fields.fail("last-ids", "expected bytes");
  }
  const inspect: Mutable<InspectResult> = {
    noProxy: fields.requiredBoolean("no-proxy"),
  };
  put(inspect, "sharingKey", fields.text("sharing-key"));
  put(inspect, "sid", fields.text("sid"));
  put(inspect, "lastIds", ids === undefined ? undefined : lastIds);
  put(inspect, "userData", fields.raw("user-data"));
  return fields.error === undefined ? ok(inspect) : fail(fields.error);
}

export function encodeAcceptRequest(accept: AcceptRequest): TnetInput {
  return {
    requests: accept.requests.map(encodeRequestState),
    "request-data": encodeRequestLine(accept.requestData),
    "orig-request-data": encodeRequestData(accept.origRequestData),
    inspect: accept.inspect === undefined ? undefined : encodeInspectResult(accept.inspect),
    response: accept.response === undefined ? undefined : encodeResponseData(accept.response),
    route: accept.route,
    "separate-stats": flag(accept.separateStats),
    "channel-prefix": accept.channelPrefix,
    channels: accept.channels,
    trusted: flag(accept.trusted),
    "use-session": flag(accept.useSession),
    "response-sent": flag(accept.responseSent),
    "log-level": accept.logLevel,
  };
}

export function decodeAcceptRequest(args: TnetMap): Result<AcceptRequest> {
  const fields = new Fields(args, "accept");
  const requests = decodeRequests(fields.list("requests"), "accept");
  if (!requests.ok) return requests;
  const requestData = decodeRequestLine(
    fields.map("request-data") ?? new Map(),
    "accept.request-data",
  );
  if (!requestData.ok) return requestData;
  const origRequestData = decodeRequestData(
    fields.map("orig-request-data") ?? new Map(),
    "accept.orig-request-data",
  );
  if (!origRequestData.ok) return origRequestData;
  const answer = fields.map("response");
  const response =
    answer === undefined ? undefined : decodeResponseData(answer, "accept.response");
  if (response !== undefined && !response.ok) return response;
  const raw = fields.raw("inspect");
  const inspect = raw === undefined ? undefined : decodeInspectResult(raw);
  if (inspect !== undefined && !inspect.ok) return inspect;
  const accept: Mutable<AcceptRequest> = {
    requests: requests.value,
    requestData: requestData.value,
    origRequestData: origRequestData.value,
  };
  put(accept, "response", response?.value);
  put(accept, "inspect", inspect?.value);
  put(accept, "route", fields.text("route"));
  put(accept, "separateStats", fields.boolean("separate-stats"));
  put(accept, "channelPrefix", fields.text("channel-prefix"));
  put(
    accept,
    "channels",
    fields.list("channels")?.filter((one) => typeof one === "string"),
  );
  put(accept, "trusted", fields.boolean("trusted"));
  put(accept, "useSession", fields.boolean("use-session"));
  put(accept, "responseSent", fields.boolean("response-sent"));
  put(accept, "logLevel", fields.integer("log-level"));
  return fields.error === undefined ? ok(accept) : fail(fields.error);
}

function decodeRequests(list: readonly Tnet[] | undefined, path: string): Result<RequestState[]> {
  if (list === undefined || list.length === 0) return fail(`${path}.requests: missing`);
  const states: RequestState[] = [];
  for (const [i, one] of list.entries()) {
    const state = decodeRequestState(one, `${path}.requests[${i}]`);
    if (!state.ok) return state;
    states.push(state.value);
  }
  return ok(states);
}

export function encodeAcceptResult(result: AcceptResult): TnetInput {
  return {
    accepted: result.accepted ? true : undefined,
    response: result.response === undefined ? undefined : encodeResponseData(result.response),
  };
}

export function decodeAcceptResult(value: Tnet): Result<AcceptResult> {
  if (!(value instanceof Map)) return fail("accept result is not a map");
  const fields = new Fields(value, "result");
  const accepted = fields.boolean("accepted") ?? false;
  const map = fields.map("response");
  if (fields.error !== undefined) return fail(fields.error);
  if (map === undefined) return ok({ accepted });
  const response = decodeResponseData(map, "result.response");
  return response.ok ? ok({ accepted, response: response.value }) : response;
}

export function encodeRetryPacket(retry: RetryPacket): TnetInput {
  return {
    requests: retry.requests.map(encodeRequestState),
    "request-data": encodeRequestData(retry.requestData),
    inspect: retry.inspect === undefined ? undefined : encodeInspectResult(retry.inspect),
    route: retry.route,
    "retry-seq": retry.retrySeq,
  };
}

export function decodeRetryPacket(map: TnetMap): Result<RetryPacket> {
  const fields = new Fields(map, "retry");
  const requests = decodeRequests(fields.list("requests"), "retry");
  if (!requests.ok) return requests;
  const requestData = decodeRequestData(
    fields.map("request-data") ?? new Map(),
    "retry.request-data",
  );
  if (!requestData.ok) return requestData;
  const raw = fields.raw("inspect");
  const inspect = raw === undefined ? undefined : decodeInspectResult(raw);
  if (inspect !== undefined && !inspect.ok) return inspect;
  const retry: Mutable<RetryPacket> = {
    requests: requests.value,
    requestData: requestData.value,
  };
  put(retry, "inspect", inspect?.value);
  put(retry, "route", fields.text("route"));
  put(retry, "retrySeq", fields.integer("retry-seq"));
  return fields.error === undefined ? ok(retry) : fail(fields.error);
}
