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

export interface HttpRequestData {
  readonly method: string;
  readonly uri: string;
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
  readonly requestData: HttpRequestData;
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

/** Drops members that are false or undefined: booleans are sent only when true. */
function present(
  record: Record<string, TnetInput | undefined>,
): Record<string, TnetInput | undefined> {
  const out: Record<string, TnetInput | undefined> = {};
  for (const [key, value] of Object.entries(record))
    if (value !== undefined && value !== false) out[key] = value;
  return out;
}

export function encodeRequestState(state: RequestState): TnetInput {
  return present({
    rid: { sender: state.rid.sender, id: state.rid.id },
    "in-seq": state.inSeq,
    "out-seq": state.outSeq,
    "out-credits": state.outCredits,
    https: state.https,
    "peer-address": state.peerAddress,
    "logical-peer-address": state.logicalPeerAddress,
    debug: state.debug,
    "is-retry": state.isRetry,
    "auto-cross-origin": state.autoCrossOrigin,
    "jsonp-callback": state.jsonpCallback,
    "jsonp-extended-response": state.jsonpExtendedResponse,
    "unreported-time": state.unreportedTimeMs,
    "response-code": state.responseCode,
    "router-resp": state.routerResp,
    "user-data": state.userData,
  });
}

/** Sets `key` only where there is a value, as `exactOptionalPropertyTypes` wants it. */
function optional<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: V });
}

export function decodeRequestState(value: Tnet, path: string): Result<RequestState> {
  if (!(value instanceof Map)) return fail(`${path}: expected a map`);
  const fields = new Fields(value, path);
  const rid = fields.map("rid");
  const ridFields = new Fields(rid ?? new Map(), `${path}.rid`);
  const state: RequestState = {
    rid: { sender: ridFields.requiredText("sender"), id: ridFields.requiredText("id") },
    inSeq: fields.requiredInteger("in-seq"),
    outSeq: fields.requiredInteger("out-seq"),
    outCredits: fields.requiredInteger("out-credits"),
    ...optional("https", fields.boolean("https")),
    ...optional("peerAddress", fields.text("peer-address")),
    ...optional("logicalPeerAddress", fields.text("logical-peer-address")),
    ...optional("debug", fields.boolean("debug")),
    ...optional("isRetry", fields.boolean("is-retry")),
    ...optional("autoCrossOrigin", fields.boolean("auto-cross-origin")),
    ...optional("jsonpCallback", fields.text("jsonp-callback")),
    ...optional("jsonpExtendedResponse", fields.boolean("jsonp-extended-response")),
    ...optional("unreportedTimeMs", fields.integer("unreported-time")),
    ...optional("responseCode", fields.integer("response-code")),
    ...optional("routerResp", fields.boolean("router-resp")),
    ...optional("userData", fields.raw("user-data")),
  };
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

export function encodeResponseData(data: HttpResponseData): TnetInput {
  return {
    code: data.code,
    reason: data.reason,
    headers: encodePairs(data.headers),
    body: data.body,
  };
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
  const inspect: InspectResult = {
    noProxy: fields.requiredBoolean("no-proxy"),
    ...optional("sharingKey", fields.text("sharing-key")),
    ...optional("sid", fields.text("sid")),
    ...optional("lastIds", ids === undefined ? undefined : lastIds),
    ...optional("userData", fields.raw("user-data")),
  };
  return fields.error === undefined ? ok(inspect) : fail(fields.error);
}

export function encodeAcceptRequest(accept: AcceptRequest): TnetInput {
  return present({
    requests: accept.requests.map(encodeRequestState),
    "request-data": encodeRequestData(accept.requestData),
    "orig-request-data": encodeRequestData(accept.origRequestData),
    inspect: accept.inspect === undefined ? undefined : encodeInspectResult(accept.inspect),
    response: accept.response === undefined ? undefined : encodeResponseData(accept.response),
    route: accept.route,
    "separate-stats": accept.separateStats,
    "channel-prefix": accept.channelPrefix,
    channels: accept.channels,
    trusted: accept.trusted,
    "use-session": accept.useSession,
    "response-sent": accept.responseSent,
    "log-level": accept.logLevel,
  });
}

export function decodeAcceptRequest(args: TnetMap): Result<AcceptRequest> {
  const fields = new Fields(args, "accept");
  const requests = decodeRequests(fields.list("requests"), "accept");
  if (!requests.ok) return requests;
  const requestData = decodeRequestData(
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
  const accept: AcceptRequest = {
    requests: requests.value,
    requestData: requestData.value,
    origRequestData: origRequestData.value,
    ...optional("response", response?.value),
    ...optional("inspect", inspect?.value),
    ...optional("route", fields.text("route")),
    ...optional("separateStats", fields.boolean("separate-stats")),
    ...optional("channelPrefix", fields.text("channel-prefix")),
    ...optional(
      "channels",
      fields.list("channels")?.filter((one) => typeof one === "string"),
    ),
    ...optional("trusted", fields.boolean("trusted")),
    ...optional("useSession", fields.boolean("use-session")),
    ...optional("responseSent", fields.boolean("response-sent")),
    ...optional("logLevel", fields.integer("log-level")),
  };
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
  return present({
    requests: retry.requests.map(encodeRequestState),
    "request-data": encodeRequestData(retry.requestData),
    inspect: retry.inspect === undefined ? undefined : encodeInspectResult(retry.inspect),
    route: retry.route,
    "retry-seq": retry.retrySeq,
  });
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
  const retry: RetryPacket = {
    requests: requests.value,
    requestData: requestData.value,
    ...optional("inspect", inspect?.value),
    ...optional("route", fields.text("route")),
    ...optional("retrySeq", fields.integer("retry-seq")),
  };
  return fields.error === undefined ? ok(retry) : fail(fields.error);
}
