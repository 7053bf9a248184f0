import { filterHeaders, getAllHeaders, getHeader, parseParameters, splitList } from "@pushpin/http";
import { type Bytes, fail, ok, type Result } from "@pushpin/tnetstrings";

export interface Channel {
  readonly name: string;
  readonly prevId: string | undefined;
  readonly filters: readonly string[];
}

export interface KeepAlive {
  readonly data: string;
  readonly timeoutS: number;
  readonly mode: "idle" | "interval";
}

/** What a backend's response orders (handler.md 2). */
export interface Instruct {
  readonly hold: "response" | "stream" | undefined;
  readonly channels: readonly Channel[];
  readonly timeoutS: number;
  readonly keepAlive: KeepAlive | undefined;
  readonly response: {
    readonly code: number;
    readonly reason: string;
    readonly headers: string[];
    readonly body: Bytes;
  };
}

export const HOLD_TIMEOUT_S = 55;
const HOLD_TIMEOUT_MIN_S = 5;
/** Limit: filters of one channel. */
const FILTERS_MAX = 5;
const REMOVED: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "content-encoding",
  "transfer-encoding",
  "content-length",
]);

/** Reads the header form; the error texts are those backends' authors know. */
export function parseHeaderInstruct(response: {
  code: number;
  reason: string;
  headers: string[];
  body: Bytes;
}): Result<Instruct> {
  const { headers } = response;
  const hold = getHeader(headers, "grip-hold");
  if (hold !== undefined && hold !== "response" && hold !== "stream")
    return fail("Grip-Hold must be set to either 'response' or 'stream'");
  const channels = parseChannels(headers);
  if (!channels.ok) return channels;
  let timeoutS = HOLD_TIMEOUT_S;
  const timeout = getHeader(headers, "grip-timeout");
  if (timeout !== undefined) {
    const value = parseInteger(timeout);
    if (value === undefined) return fail("failed to parse Grip-Timeout");
    if (value < 0) return fail("Grip-Timeout has invalid value");
    timeoutS = value;
  }
  const keepAlive = parseKeepAlive(getHeader(headers, "grip-keep-alive"));
  if (!keepAlive.ok) return keepAlive;
  let { code, reason } = response;
  const status = getHeader(headers, "grip-status");
  if (status) {
    const [first = "", ...rest] = status.split(" ");
    const value = parseInteger(first);
    if (value === undefined || value < 0 || value > 999)
      return fail("Grip-Status contains invalid status code");
    code = value;
    reason = rest.join(" ");
  }
  const exposed = getAllHeaders(headers, "grip-expose-headers")
    .flatMap(splitList)
    .map((one) => one.toLowerCase());
  const drop = (name: string) =>
    REMOVED.has(name) ||
    name.startsWith("grip-") ||
    (exposed.length > 0 && !exposed.includes(name));
  return ok({
    hold,
    channels: channels.value,
    timeoutS: Math.max(timeoutS, HOLD_TIMEOUT_MIN_S),
    keepAlive: keepAlive.value,
    response: { code, reason, headers: filterHeaders(headers, drop), body: response.body },
  });
}

function parseInteger(text: string): number | undefined {
  return /^\s*[+-]?\d{1,15}\s*$/.test(text) ? Number(text) : undefined;
}

function parseChannels(headers: readonly string[]): Result<Channel[]> {
  const channels: Channel[] = [];
  for (const element of getAllHeaders(headers, "grip-channel").flatMap(splitList)) {
    const parsed = parseParameters(element);
    if (parsed === undefined) continue; // malformed parameters: the element does not count
    const filters = parsed.parameters
      .filter(([name]) => name === "filter")
      .map(([, value]) => value ?? "");
    if (filters.length > FILTERS_MAX) return fail(`too many filters for channel '${parsed.value}'`);
    const prevId = parsed.parameters.find(([name]) => name.toLowerCase() === "prev-id");
    if (!channels.some((one) => one.name === parsed.value))
      channels.push({
        name: parsed.value,
        prevId: prevId === undefined ? undefined : (prevId[1] ?? ""),
        filters,
      });
  }
  return ok(channels);
}

function parseKeepAlive(value: string | undefined): Result<KeepAlive | undefined> {
  if (value === undefined) return ok(undefined);
  const parsed = parseParameters(value);
  if (parsed === undefined || parsed.value === "") return fail("Grip-Keep-Alive cannot be empty");
  const last = (name: string) => parsed.parameters.find(([one]) => one.toLowerCase() === name)?.[1];
  const timeout = last("timeout");
  const timeoutS = timeout === undefined ? HOLD_TIMEOUT_S : parseInteger(timeout);
  if (timeoutS === undefined) return fail("failed to parse Grip-Keep-Alive timeout value");
  if (timeoutS < 0) return fail("Grip-Keep-Alive timeout has invalid value");
  const mode = last("mode") || "idle";
  if (mode !== "idle" && mode !== "interval") return fail(`no such Grip-Keep-Alive mode '${mode}'`);
  const format = last("format") || "raw";
  const data = decodeKeepAlive(parsed.value, format);
  return data.ok ? ok({ data: data.value, timeoutS: Math.max(timeoutS, 1), mode }) : data;
}

function decodeKeepAlive(text: string, format: string): Result<string> {
  switch (format) {
    case "raw":
      return ok(text);
    case "base64":
      return ok(Buffer.from(text.replace(/[^A-Za-z0-9+/=]/g, ""), "base64").toString("latin1"));
    case "cstring": {
      if (
        /(?:^|[^\\])(?:\\\\)*\\$/.test(text) ||
        /(?:^|[^\\])(?:\\\\)*\\x(?![0-9a-fA-F]{2})/.test(text)
      )
        return fail("failed to parse Grip-Keep-Alive cstring format");
      return ok(
        text.replace(
          /\\(?:x([0-9a-fA-F]{2})|(.))/g,
          (_, hex: string | undefined, char: string | undefined) => {
            if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
            return { "\\": "\\", r: "\r", n: "\n" }[char ?? ""] ?? "";
          },
        ),
      );
    }
    default:
      return fail(`no such Grip-Keep-Alive format '${format}'`);
  }
}
