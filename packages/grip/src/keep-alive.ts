import { parseParameters } from "@pushpin/http";
import { type Bytes, detach, fail, ok, type Result, type TnetMap } from "@pushpin/tnetstrings";
import { decodeBase64, parseInteger, toContent, toInteger, toText } from "./scalars.ts";

export interface KeepAlive {
  /** May be empty in the JSON form: nothing is written then. */
  readonly data: Bytes;
  readonly timeoutS: number;
  /** `idle`: every delivery starts the time over. */
  readonly mode: "idle" | "interval";
}

export const KEEP_ALIVE_TIMEOUT_S = 55;
const KEEP_ALIVE_TIMEOUT_MIN_S = 1;

/** `data[; timeout=N][; format=raw|cstring|base64][; mode=idle|interval]` (handler.md 2.4). */
export function parseKeepAliveHeader(value: string): Result<KeepAlive> {
  const parsed = parseParameters(value);
  if (parsed === undefined) return fail("failed to parse Grip-Keep-Alive");
  if (parsed.value === "") return fail("Grip-Keep-Alive cannot be empty");
  const parameter = (name: string) =>
    parsed.parameters.find(([one]) => one.toLowerCase() === name)?.[1];
  const timeout = parameter("timeout");
  const timeoutS = timeout === undefined ? KEEP_ALIVE_TIMEOUT_S : parseInteger(timeout);
  if (timeoutS === undefined) return fail("failed to parse Grip-Keep-Alive timeout value");
  if (timeoutS < 0) return fail("Grip-Keep-Alive timeout has invalid value");
  const format = parameter("format") || "raw";
  const data = decodeData(parsed.value, format);
  if (!data.ok) return data;
  const mode = parameter("mode") || "idle";
  if (mode !== "idle" && mode !== "interval") return fail(`no such Grip-Keep-Alive mode '${mode}'`);
  return ok({
    data: detach(data.value),
    timeoutS: Math.max(timeoutS, KEEP_ALIVE_TIMEOUT_MIN_S),
    mode,
  });
}

function decodeData(text: string, format: string): Result<string> {
  if (format === "raw") return ok(text);
  if (format === "base64") return ok(decodeBase64(text));
  if (format !== "cstring") return fail(`no such Grip-Keep-Alive format '${format}'`);
  const data = decodeEscapes(text);
  return data === undefined ? fail("failed to parse Grip-Keep-Alive cstring format") : ok(data);
}

/** `\\`, `\r`, `\n`, `\xHH`; other escapes vanish. Undefined for bad hex and a backslash at the end. */
function decodeEscapes(text: string): string | undefined {
  let out = "";
  for (let i = 0; i < text.length; i += 1) {
    if (text[i] !== "\\") {
      out += text[i];
      continue;
    }
    i += 1;
    switch (text[i]) {
      case undefined:
        return undefined;
      case "\\":
        out += "\\";
        break;
      case "r":
        out += "\r";
        break;
      case "n":
        out += "\n";
        break;
      case "x": {
        const hex = text.slice(i + 1, i + 3);
        if (!/^[0-9a-fA-F]{2}$/.test(hex)) return undefined;
        out += String.fromCharCode(Number.parseInt(hex, 16));
        i += 2;
        break;
      }
    }
  }
  return out;
}

/** `hold.keep-alive` of a JSON instruct. */
export function parseKeepAliveObject(map: TnetMap): Result<KeepAlive> {
  const wrong = (key: string) => fail(`keep-alive contains '${key}' with wrong type`);
  let data: Bytes = "";
  const bin = map.get("content-bin");
  const content = map.get("content");
  if (bin !== undefined) {
    const text = toText(bin);
    if (text === undefined) return wrong("content-bin");
    data = decodeBase64(text);
  } else if (content !== undefined) {
    const bytes = toContent(content);
    if (bytes === undefined) return wrong("content");
    data = bytes;
  }
  const timeout = map.get("timeout");
  const timeoutS = timeout === undefined ? KEEP_ALIVE_TIMEOUT_S : toInteger(timeout);
  if (timeoutS === undefined) return wrong("timeout");
  if (timeoutS < 0) return fail("keep-alive contains 'timeout' with invalid value");
  // Compat: the original does not read a mode here and behaves like `interval`.
  const given = map.get("mode");
  const mode = given === undefined ? "interval" : toText(given);
  if (mode === undefined) return wrong("mode");
  if (mode !== "idle" && mode !== "interval") return fail(`no such keep-alive mode '${mode}'`);
  return ok({
    data,
    timeoutS: Math.max(timeoutS, KEEP_ALIVE_TIMEOUT_MIN_S),
    mode,
  });
}
