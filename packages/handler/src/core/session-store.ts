import type { SessionDetectRule } from "@pushpin/grip";
import { type TnetInput, type TnetMap, toUtf8 } from "@pushpin/tnetstrings";
import type { RpcReply, RpcResult } from "@pushpin/zrpc";
import { decodeInspect, type InspectRequest, sharingKey } from "./inspect.ts";

export type StoreCall = (
  method: string,
  args: TnetInput,
  done: (result: RpcResult) => void,
) => void;

/** Asks and tells the optional session store; what fails there is ignored (handler.md 5.9). */
export class SessionStore {
  readonly #call: StoreCall;

  constructor(call: StoreCall) {
    this.#call = call;
  }

  setDetectRules(domain: string, rules: readonly SessionDetectRule[]): void {
    this.#tell("session-detect-rules-set", {
      rules: rules.map((rule) => ({
        domain,
        "path-prefix": rule.pathPrefix,
        "sid-ptr": rule.sidPointer,
        "json-param": rule.jsonParameter,
      })),
    });
  }

  createOrUpdate(sid: string, lastIds: ReadonlyMap<string, string>): void {
    this.#tell("session-create-or-update", { sid, "last-ids": lastIds });
  }

  updateMany(sessions: ReadonlyMap<string, ReadonlyMap<string, string>>): void {
    this.#tell("session-update-many", { "sid-last-ids": sessions });
  }

  /** The session a request belongs to, by the rules of its domain, and what it has got so far. */
  find(
    request: InspectRequest,
    done: (sid: string | undefined, lastIds: ReadonlyMap<string, string>) => void,
  ): void {
    const none = () => done(undefined, new Map());
    const match = /^[a-z]+:\/\/([^/?#:]*)[^/?#]*([^?#]*)/i.exec(request.uri);
    if (match === null) return none();
    const args = {
      domain: (match[1] as string).toLowerCase(),
      path: match[2] || "/",
    };
    this.#call("session-detect-rules-get", args, (rules) => {
      const sid = rules.success ? detectSid(rules.value, request.body) : undefined;
      if (sid === undefined) return none();
      this.#call("session-get-last-ids", { sid }, (result) => {
        const lastIds = new Map<string, string>();
        if (result.success && result.value instanceof Map)
          for (const [channel, id] of result.value)
            if (typeof id === "string") lastIds.set(channel, id);
        done(sid, lastIds);
      });
    });
  }

  #tell(method: string, args: TnetInput): void {
    this.#call(method, args, () => {});
  }
}

/** Answers the proxy's question before it asks the backend (wire.md 5.2). */
export function answerInspect(
  args: TnetMap,
  shareAll: boolean,
  store: SessionStore | undefined,
  reply: (reply: RpcReply) => void,
): void {
  const decoded = decodeInspect(args);
  if (!decoded.ok) {
    reply({ success: false, condition: "bad-request" });
    return;
  }
  const request = decoded.value;
  const key = sharingKey(request, shareAll);
  if (!request.getSession || store === undefined) {
    reply({ success: true, value: { "no-proxy": false, "sharing-key": key } });
    return;
  }
  store.find(request, (sid, lastIds) => {
    reply({
      success: true,
      value: {
        "no-proxy": false,
        "sharing-key": key,
        sid,
        "last-ids": sid === undefined ? undefined : lastIds,
      },
    });
  });
}

function detectSid(rules: unknown, body: string): string | undefined {
  if (!Array.isArray(rules)) return undefined;
  for (const rule of rules) {
    if (!(rule instanceof Map)) continue;
    const pointer = rule.get("sid-ptr");
    const parameter = rule.get("json-param");
    if (typeof pointer !== "string") continue;
    const text =
      typeof parameter === "string"
        ? new URLSearchParams(toUtf8(body)).get(toUtf8(parameter))
        : toUtf8(body);
    const sid = text === null ? undefined : pick(text, toUtf8(pointer));
    if (sid !== undefined) return sid;
  }
  return undefined;
}

/** The string a JSON pointer picks from a document. */
function pick(text: string, pointer: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  for (const part of pointer.split("/").slice(1)) {
    if (typeof value !== "object" || value === null) return undefined;
    const key = part.replace(/~1/g, "/").replace(/~0/g, "~");
    if (!Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return typeof value === "string" ? Buffer.from(value, "utf8").toString("latin1") : undefined;
}
