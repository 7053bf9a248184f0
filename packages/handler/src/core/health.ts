import type { Tnet } from "@pushpin/tnetstrings";
import type { RpcResult } from "@pushpin/zrpc";
import type { AnswerFormat, ControlResponse } from "./control-exchange.ts";

/** One of the processes that have to be there, as the handler sees it. */
export interface PartState {
  readonly name: "connmgr" | "httpclient" | "proxy" | "handler";
  readonly ready: boolean;
  /** Why it is not. */
  readonly reason?: string;
}

/** What a worker of the proxy said about its links, or why it said nothing. */
export type ProxyHealth =
  | { readonly ok: true; readonly clients: number; readonly backends: number }
  | { readonly ok: false; readonly condition: string };

/** Reads the answer to `health` on the proxy's command socket. */
export function readProxyHealth(result: RpcResult): ProxyHealth {
  if (!result.success) return { ok: false, condition: result.condition };
  const { value } = result;
  if (!(value instanceof Map)) return { ok: false, condition: "bad-format" };
  return { ok: true, clients: count(value.get("clients")), backends: count(value.get("backends")) };
}

function count(value: Tnet | undefined): number {
  return typeof value === "number" && value > 0 ? value : 0;
}

/**
 * The state of every part, from the proxy's answers (none while somebody is still asked) and the
 * number of connection managers that take packets of the handler.
 */
export function partStates(
  proxies: readonly ProxyHealth[],
  proxyCount: number,
  managers: number,
): PartState[] {
  const answers = proxies.filter((one) => one.ok);
  const failed = proxies.find((one) => !one.ok);
  const part = (name: PartState["name"], reason: string | undefined): PartState =>
    reason === undefined ? { name, ready: true } : { name, ready: false, reason };
  const unseen = "not connected to the proxy";
  return [
    part("handler", undefined),
    part(
      "proxy",
      answers.length === proxyCount
        ? undefined
        : `${answers.length} of ${proxyCount} answer${failed === undefined ? "" : `: ${failed.condition}`}`,
    ),
    part(
      "connmgr",
      managers === 0
        ? "not connected to the handler"
        : answers.some((one) => one.clients === 0)
          ? unseen
          : undefined,
    ),
    part(
      "httpclient",
      answers.length === 0
        ? "unknown while the proxy does not answer"
        : answers.some((one) => one.backends === 0)
          ? unseen
          : undefined,
    ),
  ];
}

/** `/readyz`: 200 if every part is ready, else 503; a line for each, or JSON. */
export function renderReadiness(
  parts: readonly PartState[],
  format: AnswerFormat,
): ControlResponse {
  const ready = parts.every((one) => one.ready);
  const code = ready ? 200 : 503;
  if (format === "json") {
    const shown = Object.fromEntries(parts.map(({ name, ...state }) => [name, state]));
    return {
      code,
      contentType: "application/json",
      body: `${JSON.stringify({ ready, parts: shown })}\n`,
    };
  }
  const lines = parts.map(({ name, reason }) => `${name}: ${reason ?? "ok"}\n`);
  return {
    code,
    contentType: "text/plain",
    body: `${ready ? "ready" : "not ready"}\n${lines.join("")}`,
  };
}
