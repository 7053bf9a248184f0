import {
  decodeAcceptResult,
  decodeInspectResult,
  encodeAcceptRequest,
  encodePairs,
  type InspectResult,
  type RpcResult,
} from "@pushpin/zrpc";
import type { RpcClient } from "@pushpin/zrpc/sockets";
import type { AcceptCall, AcceptOutcome, InspectCall } from "../core/relay/ports.ts";

/** Known once they are open. */
export interface HandlerCallSockets {
  readonly inspectCalls: RpcClient;
  readonly acceptCalls: RpcClient;
}

/** What the handler is asked about requests. */
export class HandlerCalls {
  readonly #instanceId: string;
  readonly #sockets: () => HandlerCallSockets;
  #inspectUp = true;
  #inspectsPending = 0;

  constructor(instanceId: string, sockets: () => HandlerCallSockets) {
    this.#instanceId = instanceId;
    this.#sockets = sockets;
  }

  /** The handler has a successor, who is asked what the one before it has not answered. */
  askAgain(): void {
    const { acceptCalls, inspectCalls } = this.#sockets();
    acceptCalls.askAgain();
    inspectCalls.askAgain();
  }

  /** `done` with nothing: the handler is silent, or said nothing that can be read. */
  inspect(call: InspectCall, done: (result: InspectResult | undefined) => void): void {
    const args = {
      method: call.method,
      uri: call.uri,
      headers: encodePairs(call.headers),
      body: call.body,
      truncated: call.isTruncated || undefined,
      "get-session": call.getSession || undefined,
      "auto-share": call.autoShare || undefined,
    };
    const isWaiting = this.#inspectUp;
    this.#inspectsPending += 1;
    this.#sockets().inspectCalls.callLater("inspect", args, (result) => {
      this.#inspectsPending -= 1;
      const isTimeout = !result.success && result.condition === "timeout";
      if (!isTimeout) this.#inspectUp = true;
      else if (this.#inspectsPending === 0) this.#inspectUp = false;
      if (!isWaiting) return;
      const decoded = result.success ? decodeInspectResult(result.value) : undefined;
      done(decoded?.ok ? decoded.value : undefined);
    });
    // The handler is known to be silent: it is asked, so that its return is noticed, not waited for.
    if (!isWaiting) done(undefined);
  }

  accept(call: AcceptCall, done: (outcome: AcceptOutcome) => void): void {
    const { route, target } = call;
    const args = encodeAcceptRequest({
      requests: call.states,
      requestData: call.requestData,
      origRequestData: call.origRequestData,
      ...(call.response === undefined ? {} : { response: call.response }),
      route: route.id,
      ...(call.inspect === undefined ? {} : { inspect: call.inspect }),
      ...(route.hasExplicitId ? { separateStats: true } : {}),
      ...(route.prefix === "" ? {} : { channelPrefix: route.prefix }),
      ...(target === undefined || target.subscriptions.length === 0
        ? {}
        : { channels: target.subscriptions }),
      ...(target?.trusted === false ? {} : { trusted: true }),
      ...(route.session ? { useSession: true } : {}),
      ...(call.isResponseSent ? { responseSent: true } : {}),
      ...(route.logLevel === undefined ? {} : { logLevel: route.logLevel }),
    });
    const { acceptCalls } = this.#sockets();
    acceptCalls.callLater("accept", args, (result) => done(outcomeOf(result)), this.#instanceId);
  }
}

function outcomeOf(result: RpcResult): AcceptOutcome {
  if (!result.success) {
    if (result.condition === "bad-format" && typeof result.value === "string")
      return { kind: "bad-format", detail: result.value };
    return { kind: "unavailable" };
  }
  const decoded = decodeAcceptResult(result.value);
  if (!decoded.ok) return { kind: "unavailable" };
  if (decoded.value.accepted) return { kind: "accepted" };
  const { response } = decoded.value;
  return response === undefined ? { kind: "nothing" } : { kind: "response", response };
}
