import { parsePairs, parseParameters, reasonPhrase, splitList } from "@pushpin/http";
import { type Bytes, detach, fail, ok, type Result } from "@pushpin/tnetstrings";
import { isGripInstructType } from "./detection.ts";
import {
  appendChannel,
  type Channel,
  type HoldMode,
  type InstructDraft,
} from "./instruct-draft.ts";
import { applyJsonInstruct } from "./json-instruct.ts";
import { type KeepAlive, parseKeepAliveHeader } from "./keep-alive.ts";
import { parseInteger } from "./scalars.ts";

export interface NextLink {
  /** As given, without the angle brackets: the caller resolves it. */
  readonly uri: string;
  /** 0 is allowed. */
  readonly timeoutS: number;
}

export interface SessionDetectRule {
  readonly pathPrefix: string;
  readonly sidPointer: string;
  readonly jsonParameter: string | undefined;
}

/** For the session store; only with the route's `session` option. */
export interface SessionInstruct {
  readonly id: string | undefined;
  readonly detectRules: readonly SessionDetectRule[];
  /** `Grip-Last` of the response: channel to id. */
  readonly lastIds: ReadonlyMap<string, string>;
}

export interface InstructResponse {
  readonly code: number;
  readonly reason: string;
  /** Flat. */
  readonly headers: string[];
  readonly body: Bytes;
}

/** What a backend's response orders (handler.md 2). Texts are byte strings. */
export interface Instruct {
  readonly hold: HoldMode | undefined;
  readonly channels: readonly Channel[];
  /** Of a response hold; at least 5. */
  readonly timeoutS: number;
  readonly keepAlive: KeepAlive | undefined;
  readonly meta: ReadonlyMap<string, string>;
  readonly nextLink: NextLink | undefined;
  readonly goneLink: string | undefined;
  readonly session: SessionInstruct;
  /** The client's: status applied, `Grip-*` and framing headers removed, reason filled in. */
  readonly response: InstructResponse;
}

export const HOLD_TIMEOUT_S = 55;
const HOLD_TIMEOUT_MIN_S = 5;
const LINK_TIMEOUT_S = 120;
const REMOVED: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "content-encoding",
  "transfer-encoding",
  "content-length",
]);

/**
 * Reads the instructions of a backend's response, in headers and, for `application/grip-instruct`,
 * in the body. The error is the text that backends' authors know (handler.md 2.2 to 2.6).
 */
export function parseInstruct(response: InstructResponse): Result<Instruct> {
  const grip = gripHeaders(response.headers);
  const draft: InstructDraft = {
    hold: undefined,
    channels: [],
    timeoutS: undefined,
    keepAlive: undefined,
    meta: new Map(),
    code: response.code,
    reason: response.reason,
    headers: response.headers,
    body: response.body,
  };
  const links = parseHeaders(grip, draft);
  if (!links.ok) return links;
  if (isGripInstructType(response.headers)) {
    const error = applyJsonInstruct(draft, response);
    if (error !== undefined) return fail(error);
  }
  return ok({
    hold: draft.hold,
    channels: distinct(draft.channels),
    timeoutS: Math.max(draft.timeoutS ?? HOLD_TIMEOUT_S, HOLD_TIMEOUT_MIN_S),
    keepAlive: draft.keepAlive,
    meta: draft.meta,
    nextLink: links.value.next,
    goneLink: links.value.gone,
    session: parseSession(grip),
    response: {
      code: draft.code,
      reason: draft.reason === "" ? reasonPhrase(draft.code) : draft.reason,
      headers: clientHeaders(draft.headers, elements(grip, "grip-expose-headers")),
      body: draft.body,
    },
  });
}

/** The first entry of a name counts. */
function distinct(channels: Channel[]): Channel[] {
  const byName = new Map<string, Channel>();
  for (const one of channels) if (!byName.has(one.name)) byName.set(one.name, one);
  return byName.size === channels.length ? channels : [...byName.values()];
}

type GripHeaders = ReadonlyMap<string, readonly string[]>;

function gripHeaders(headers: readonly string[]): GripHeaders {
  const grip = new Map<string, string[]>();
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    if ((name.charCodeAt(0) | 0x20) !== 0x67) continue;
    const lower = name.toLowerCase();
    if (!lower.startsWith("grip-")) continue;
    const values = grip.get(lower);
    if (values === undefined) grip.set(lower, [headers[i + 1] as string]);
    else values.push(headers[i + 1] as string);
  }
  return grip;
}

function first(grip: GripHeaders, lowerName: string): string | undefined {
  return grip.get(lowerName)?.[0];
}

function elements(grip: GripHeaders, lowerName: string): string[] | undefined {
  return grip.get(lowerName)?.flatMap(splitList);
}

function parseHeaders(grip: GripHeaders, draft: InstructDraft): Result<Links> {
  const hold = first(grip, "grip-hold");
  if (hold !== undefined && hold !== "response" && hold !== "stream")
    return fail("Grip-Hold must be set to either 'response' or 'stream'");
  draft.hold = hold;
  for (const element of elements(grip, "grip-channel") ?? []) {
    const error = addChannel(draft.channels, element);
    if (error !== undefined) return fail(error);
  }
  const timeout = first(grip, "grip-timeout");
  if (timeout !== undefined) {
    draft.timeoutS = parseInteger(timeout);
    if (draft.timeoutS === undefined) return fail("failed to parse Grip-Timeout");
    if (draft.timeoutS < 0) return fail("Grip-Timeout has invalid value");
  }
  const keepAlive = first(grip, "grip-keep-alive");
  if (keepAlive !== undefined) {
    const parsed = parseKeepAliveHeader(keepAlive);
    if (!parsed.ok) return parsed;
    draft.keepAlive = parsed.value;
  }
  for (const element of elements(grip, "grip-set-meta") ?? []) {
    const pair = parsePairs(element)?.[0];
    // A name without `=` has no value: it stays undefined for templates.
    if (pair?.[1] !== undefined) draft.meta.set(detach(pair[0]), detach(pair[1]));
  }
  const status = first(grip, "grip-status");
  if (status !== undefined && status !== "") {
    const space = status.indexOf(" ");
    const code = parseInteger(space < 0 ? status : status.slice(0, space));
    if (code === undefined || code < 0 || code > 999)
      return fail("Grip-Status contains invalid status code");
    draft.code = code;
    draft.reason = space < 0 ? "" : status.slice(space + 1).trim();
  }
  return parseLinks(elements(grip, "grip-link") ?? []);
}

function addChannel(channels: Channel[], element: string): string | undefined {
  const parsed = parseParameters(element);
  if (parsed === undefined) return undefined; // malformed parameters: the element does not count
  const filters: string[] = [];
  let prevId: string | undefined;
  for (const [name, value] of parsed.parameters) {
    if (name === "filter") filters.push(detach(value ?? ""));
    else if (prevId === undefined && name.toLowerCase() === "prev-id")
      prevId = value === undefined ? undefined : detach(value);
  }
  return appendChannel(channels, {
    name: detach(parsed.value),
    prevId,
    filters,
  });
}

interface Links {
  next: NextLink | undefined;
  gone: string | undefined;
}

function parseLinks(list: readonly string[]): Result<Links> {
  const links: Links = { next: undefined, gone: undefined };
  for (const element of list) {
    const parsed = parseParameters(element);
    if (parsed === undefined || parsed.parameters.length === 0) continue;
    const { value } = parsed;
    if (value.length < 3 || value[0] !== "<" || value[value.length - 1] !== ">")
      return fail("failed to parse Grip-Link value");
    const parameter = (name: string) =>
      parsed.parameters.find(([one]) => one.toLowerCase() === name)?.[1];
    const uri = detach(value.slice(1, -1));
    const relation = parameter("rel");
    if (relation !== "next" && relation !== "gone") continue;
    if (!isUsableLink(uri)) return fail("Grip-Link contains invalid link");
    if (relation === "gone") {
      links.gone = uri;
      continue;
    }
    const timeout = parameter("timeout");
    const timeoutS = timeout === undefined ? LINK_TIMEOUT_S : parseInteger(timeout);
    if (timeoutS === undefined) return fail("failed to parse Grip-Link timeout value");
    if (timeoutS < 0) return fail("Grip-Link timeout has invalid value");
    links.next = { uri, timeoutS };
  }
  return ok(links);
}

function isUsableLink(uri: string): boolean {
  if (!URL.canParse(uri, "http://localhost/")) return false;
  return /^https?:$/.test(new URL(uri, "http://localhost/").protocol);
}

function parseSession(grip: GripHeaders): SessionInstruct {
  const id = first(grip, "grip-session-id");
  const detectRules: SessionDetectRule[] = [];
  for (const element of elements(grip, "grip-session-detect") ?? []) {
    const pairs = parsePairs(element) ?? [];
    const parameter = (name: string) => pairs.find(([one]) => one.toLowerCase() === name)?.[1];
    const pathPrefix = parameter("path-prefix");
    const sidPointer = parameter("sid-ptr");
    if (pathPrefix && sidPointer)
      detectRules.push({
        pathPrefix,
        sidPointer,
        jsonParameter: parameter("json-param"),
      });
  }
  const lastIds = new Map<string, string>();
  for (const element of elements(grip, "grip-last") ?? []) {
    const parsed = parseParameters(element);
    const lastId = parsed?.parameters.find(([one]) => one.toLowerCase() === "last-id")?.[1];
    if (parsed !== undefined && lastId !== undefined) lastIds.set(parsed.value, lastId);
  }
  return { id: id === "" ? undefined : id, detectRules, lastIds };
}

function clientHeaders(headers: readonly string[], exposed: readonly string[] | undefined) {
  const visible = exposed && new Set(exposed.map((one) => one.toLowerCase()));
  const out: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    const lower = name.toLowerCase();
    if (REMOVED.has(lower) || lower.startsWith("grip-")) continue;
    if (visible === undefined || visible.has(lower)) out.push(name, headers[i + 1] as string);
  }
  return out;
}
