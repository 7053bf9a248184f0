import { type Bytes, fail, ok, type Result, type TnetMap } from "@pushpin/tnetstrings";
import { parseJson } from "./json.ts";
import type { WsMessageType } from "./publish-formats.ts";
import { decodeBase64, toContent, toInteger, toText } from "./scalars.ts";

/** What a backend asks for in a WebSocket message that starts with `c:` (handler.md 5.3). */
export type ControlMessage =
  | {
      readonly type: "subscribe";
      readonly channel: string;
      readonly filters: readonly string[];
    }
  | { readonly type: "unsubscribe"; readonly channel: string }
  | { readonly type: "detach" }
  /** No id: the session is no longer bound. */
  | { readonly type: "session"; readonly id: string | undefined }
  /** No value: the name is removed. */
  | {
      readonly type: "set-meta";
      readonly name: string;
      readonly value: string | undefined;
    }
  | {
      readonly type: "keep-alive";
      /** Absent: keep-alives end. */
      readonly content: Bytes | undefined;
      readonly messageType: WsMessageType;
      readonly timeoutS: number;
      readonly mode: "idle" | "interval";
    }
  | {
      readonly type: "send-delayed";
      readonly content: Bytes;
      readonly messageType: WsMessageType;
      readonly timeoutS: number;
    }
  | { readonly type: "flush-delayed" };

const KEEP_ALIVE_TIMEOUT_S = 55;
const DELAY_S = 1;

/** Reads what follows `c:`. An error is for the log: the message is then ignored. */
export function parseControlMessage(payload: Bytes): Result<ControlMessage> {
  const json = parseJson(payload);
  if (!json.ok) return json;
  const map = json.value;
  if (!(map instanceof Map)) return fail("not an object");
  const type = toText(map.get("type"));
  switch (type) {
    case "subscribe":
      return parseSubscribe(map);
    case "unsubscribe": {
      const channel = toText(map.get("channel"));
      return channel ? ok({ type, channel }) : wrong("channel");
    }
    case "detach":
    case "flush-delayed":
      return ok({ type });
    case "session": {
      const id = toText(map.get("id"));
      if (id === undefined && map.has("id")) return wrong("id");
      return ok({ type, id: id === "" ? undefined : id });
    }
    case "set-meta": {
      const name = toText(map.get("name"));
      if (!name) return wrong("name");
      const value = toText(map.get("value"));
      if (value === undefined && map.has("value")) return wrong("value");
      return ok({ type, name, value });
    }
    case "keep-alive": {
      const content = parseContent(map);
      if (!content.ok) return content;
      const messageType = parseMessageType(map);
      if (messageType === undefined) return wrong("message-type");
      const timeoutS = parseTimeout(map, KEEP_ALIVE_TIMEOUT_S);
      if (timeoutS === undefined) return wrong("timeout");
      const mode = map.has("mode") ? toText(map.get("mode")) : "idle";
      if (mode !== "idle" && mode !== "interval") return wrong("mode");
      return ok({ type, content: content.value, messageType, timeoutS, mode });
    }
    case "send-delayed": {
      const content = parseContent(map);
      if (!content.ok) return content;
      if (content.value === undefined) return wrong("content");
      const messageType = parseMessageType(map);
      if (messageType === undefined) return wrong("message-type");
      const timeoutS = parseTimeout(map, DELAY_S);
      if (timeoutS === undefined) return wrong("timeout");
      return ok({ type, content: content.value, messageType, timeoutS });
    }
    default:
      return wrong("type");
  }
}

function wrong(key: string): { ok: false; error: string } {
  return { ok: false, error: `'${key}' is missing or wrong` };
}

function parseSubscribe(map: TnetMap): Result<ControlMessage> {
  const channel = toText(map.get("channel"));
  if (!channel) return wrong("channel");
  const given = map.get("filters");
  const filters: string[] = [];
  if (given !== undefined) {
    if (!Array.isArray(given)) return wrong("filters");
    for (const one of given) {
      const text = toText(one);
      if (text === undefined) return wrong("filters");
      filters.push(text);
    }
  }
  return ok({ type: "subscribe", channel, filters });
}

function parseContent(map: TnetMap): Result<Bytes | undefined> {
  if (map.has("content-bin")) {
    const text = toText(map.get("content-bin"));
    return text === undefined ? wrong("content-bin") : ok(decodeBase64(text));
  }
  const content = map.get("content");
  if (content === undefined) return ok(undefined);
  const bytes = toContent(content);
  return bytes === undefined ? wrong("content") : ok(bytes);
}

function parseMessageType(map: TnetMap): WsMessageType | undefined {
  const type = map.has("message-type") ? toText(map.get("message-type")) : "text";
  if (type === "text" || type === "binary" || type === "ping" || type === "pong") return type;
  return undefined;
}

/** Zero and absent both mean the default. */
function parseTimeout(map: TnetMap, defaultS: number): number | undefined {
  const given = map.get("timeout");
  if (given === undefined) return defaultS;
  const timeoutS = toInteger(given);
  if (timeoutS === undefined || timeoutS < 0) return undefined;
  return timeoutS === 0 ? defaultS : timeoutS;
}
