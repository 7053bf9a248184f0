import { type Instruct, parseInstruct, type SessionDetectRule } from "@pushpin/grip";
import { filterHeaders } from "@pushpin/http";
import { detach, type TnetMap } from "@pushpin/tnetstrings";
import {
  type AcceptRequest,
  decodeAcceptRequest,
  encodeAcceptResult,
  encodeResponseData,
  type HttpRequestData,
  type HttpResponseData,
  type RpcReply,
} from "@pushpin/zrpc";
import { filterInitialBody } from "./holds/delivery.ts";
import { detachState, type Hold, type HoldOrigin, holdKey } from "./holds/hold.ts";
import { ResponseHold } from "./holds/response-hold.ts";
import { inForce, StreamHold } from "./holds/stream-hold.ts";
import { resolveLinks } from "./link-uri.ts";
import type { Services } from "./services.ts";

export interface AcceptOwner {
  readonly services: Services;
  has(key: string): boolean;
  add(hold: Hold, nowMs: number): void;
  storeDetectRules(domain: string, rules: readonly SessionDetectRule[]): void;
}

/** Limit: strings kept for sharing between holds. */
const INTERNED_MAX = 10_000;

/** Takes clients over from the proxy (handler.md 1.3). */
export class AcceptService {
  readonly #owner: AcceptOwner;
  readonly #interned = new Map<string, string>();

  constructor(owner: AcceptOwner) {
    this.#owner = owner;
  }

  accept(args: TnetMap, from: string | undefined, nowMs: number): RpcReply {
    const decoded = decodeAcceptRequest(args);
    if (!decoded.ok) {
      this.#owner.services.log.debug("bad accept", { error: decoded.error });
      return { success: false, condition: "bad-request" };
    }
    const accept = decoded.value;
    // A request without a response: there is nothing to go by.
    if (accept.response === undefined) return { success: false, condition: "bad-request" };
    const parsed = parseInstruct(accept.response);
    const instruct = parsed.ok ? resolveLinks(parsed.value, accept.requestData.uri) : parsed;
    if (!instruct.ok) return { success: false, condition: "bad-format", value: instruct.error };
    this.#noteSession(accept, instruct.value);
    if (instruct.value.hold === undefined && instruct.value.nextLink === undefined)
      return this.#respond(accept, instruct.value);
    this.#hold(accept, instruct.value, from ?? "", nowMs);
    return { success: true, value: encodeAcceptResult({ accepted: true }) };
  }

  /** Nothing to hold: the proxy answers. */
  #respond(accept: AcceptRequest, instruct: Instruct): RpcReply {
    if (accept.responseSent) return { success: true, value: {} };
    const body = filterInitialBody(instruct, instruct.response.body);
    if (!body.ok) return { success: false, condition: "bad-format", value: body.error };
    const response = { ...instruct.response, body: body.value };
    return { success: true, value: { response: encodeResponseData(response) } };
  }

  #hold(accept: AcceptRequest, instruct: Instruct, from: string, nowMs: number): void {
    const { services } = this.#owner;
    const origin = this.#origin(accept, instruct, from);
    const implicit = (accept.channels ?? []).map(detach);
    for (const state of accept.requests) {
      if (this.#owner.has(holdKey(state.rid.sender, state.rid.id))) {
        services.log.error("accept of a request we have already", {
          id: state.rid.id,
        });
        continue;
      }
      const client = detachState(state, this.#intern(state.rid.sender));
      if (instruct.hold !== "response") {
        const hold = new StreamHold(
          services,
          origin,
          client,
          inForce(instruct),
          instruct.hold === undefined,
          implicit,
          nowMs,
        );
        this.#owner.add(hold, nowMs);
        hold.start(instruct, accept.responseSent ?? false, accept.origRequestData.headers, nowMs);
        continue;
      }
      const held = {
        channels: instruct.channels,
        timeoutS: instruct.timeoutS,
        meta: instruct.meta,
        response: detachResponse(instruct.response),
      };
      const hold = new ResponseHold(services, origin, client, held, implicit, nowMs);
      if (hold.isBehind) {
        const retry = hold.retryPacket(state.unreportedTimeMs ?? 0);
        services.outputs.retry(origin.proxyId, retry);
        continue;
      }
      this.#owner.add(hold, nowMs);
      hold.start(nowMs);
    }
  }

  #origin(accept: AcceptRequest, instruct: Instruct, from: string): HoldOrigin {
    const route = accept.route === undefined ? undefined : this.#intern(accept.route);
    return {
      proxyId: this.#intern(from),
      route,
      statsRoute: accept.separateStats ? (route ?? "") : "",
      channelPrefix: this.#intern(accept.channelPrefix ?? ""),
      trusted: accept.trusted ?? false,
      uri: detach(accept.requestData.uri),
      goneLink: instruct.goneLink,
      sid: accept.useSession ? (instruct.session.id ?? accept.inspect?.sid ?? "") : "",
      original: instruct.hold === "response" ? detachRequest(accept.origRequestData) : undefined,
      inspect: instruct.hold === "response" ? accept.inspect : undefined,
    };
  }

  #noteSession(accept: AcceptRequest, instruct: Instruct): void {
    if (!accept.useSession) return;
    const { id, detectRules, lastIds } = instruct.session;
    if (detectRules.length > 0)
      this.#owner.storeDetectRules(hostOf(accept.requestData.uri), detectRules);
    if (id !== undefined && id !== "") this.#owner.services.outputs.storeSession(id, lastIds);
  }

  /** One copy of strings that many holds share. */
  #intern(text: string): string {
    const known = this.#interned.get(text);
    if (known !== undefined) return known;
    if (this.#interned.size >= INTERNED_MAX) this.#interned.clear(); // Limit: INTERNED_MAX
    const copy = detach(text);
    this.#interned.set(copy, copy);
    return copy;
  }
}

/** The length is written anew; what is kept must not pin the packet it came in. */
function detachResponse(response: HttpResponseData): HttpResponseData {
  const { code, reason, headers, body } = response;
  return {
    code,
    reason: detach(reason),
    headers: filterHeaders(headers, (name) => name === "content-length").map(detach),
    body: typeof body === "string" ? detach(body) : body,
  };
}

function detachRequest(request: HttpRequestData): HttpRequestData {
  const { method, uri, headers, body } = request;
  return {
    method: detach(method),
    uri: detach(uri),
    headers: headers.map(detach),
    body: typeof body === "string" ? detach(body) : body,
  };
}

function hostOf(uri: string): string {
  return (/^[a-z]+:\/\/([^/?#:]*)/i.exec(uri)?.[1] ?? "").toLowerCase();
}
