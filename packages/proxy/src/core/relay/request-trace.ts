import { parseInstruct } from "@pushpin/grip";
import { type Bytes, toUtf8 } from "@pushpin/tnetstrings";
import type { ResponseHead } from "@pushpin/zhttp";
import type { InspectResult } from "@pushpin/zrpc";
import {
  explain,
  type ExplainedInstruct,
  type ExplainedOutcome,
  type ExplainRequest,
  type ExplainSettings,
  renderExplanation,
} from "../explain.ts";
import type { Route, RouteTable, Target } from "../routes/route-table.ts";

export type ExplainFormat = "text" | "json";

/** Writes down what becomes of a request whose client asked why; other requests have none. */
export class RequestTrace {
  readonly #format: ExplainFormat;
  readonly #request: ExplainRequest;
  readonly #routes: RouteTable;
  readonly #settings: ExplainSettings;
  readonly #route: Route | undefined;
  readonly #results: string[] = [];
  #inspect: InspectResult | undefined;
  #response: ExplainedOutcome["response"];
  #instruct: ExplainedInstruct | undefined;

  /** `routes` as they are when the request comes: a reload does not change the explanation. */
  constructor(
    format: ExplainFormat,
    request: ExplainRequest,
    routes: RouteTable,
    settings: ExplainSettings,
    route: Route | undefined,
  ) {
    this.#format = format;
    this.#request = request;
    this.#routes = routes;
    this.#settings = settings;
    this.#route = route;
  }

  /** What the handler knew before anybody was asked. */
  inspected(inspect: InspectResult | undefined): void {
    this.#inspect = inspect;
  }

  asked(index: number): void {
    this.#results[index] = "asked, no answer";
  }

  failed(index: number, condition: string): void {
    this.#results[index] = `failed: ${condition}`;
  }

  answered(index: number, head: ResponseHead): void {
    this.#results[index] = `answered ${head.code} ${head.reason}`;
    this.#response = head;
  }

  /** The response has instructions: what the handler would make of them. */
  instructed(head: ResponseHead, body: Bytes, target: Target | undefined): string {
    const parsed = parseInstruct({ ...head, body });
    if (!parsed.ok) {
      this.#instruct = { error: parsed.error };
      return `502 Failed to parse accept instructions: ${parsed.error}`;
    }
    const { hold, timeoutS, keepAlive, meta, nextLink, goneLink, response } = parsed.value;
    const prefix = this.#route?.prefix ?? "";
    const channels = parsed.value.channels.map(({ name, prevId, filters }) => ({
      name: prefix + name,
      ...(prevId === undefined ? {} : { prevId }),
      ...(filters.length === 0 ? {} : { filters }),
    }));
    for (const name of target?.subscriptions ?? [])
      if (!channels.some((one) => one.name === name)) channels.push({ name });
    this.#instruct = {
      hold: hold ?? "none",
      channels,
      ...(hold === "response" ? { timeoutS } : {}),
      ...(keepAlive === undefined
        ? {}
        : { keepAlive: { timeoutS: keepAlive.timeoutS, mode: keepAlive.mode } }),
      ...(meta.size === 0 ? {} : { meta: Object.fromEntries(meta) }),
      ...(nextLink === undefined ? {} : { nextLink: nextLink.uri }),
      ...(goneLink === undefined ? {} : { goneLink }),
    };
    const status = `${response.code} ${response.reason}`;
    if (hold === "response") return `held for up to ${timeoutS} s, then ${status}`;
    if (hold === "stream") return `${status}, then held as a stream`;
    return nextLink === undefined
      ? `${status}, not held`
      : `${status}, continued with the responses of ${nextLink.uri}`;
  }

  /** The explanation as the response to the client. */
  respond(answer: string): ResponseHead & { readonly body: Bytes } {
    const { sid, lastIds } = this.#inspect ?? {};
    const explanation = explain(
      { ...this.#request, sid, lastIds },
      this.#routes,
      this.#settings,
      this.#route,
      this.#results.length === 0 ? ["not asked"] : this.#results,
      {
        ...(this.#response === undefined
          ? {}
          : {
              response: {
                code: this.#response.code,
                reason: this.#response.reason,
                headers: this.#response.headers,
              },
            }),
        ...(this.#instruct === undefined ? {} : { instruct: this.#instruct }),
        answer,
      },
    );
    const isJson = this.#format === "json";
    // Byte strings are shown as they are in text; JSON is written of what they mean.
    const body = isJson
      ? Buffer.from(`${JSON.stringify(explanation, readable, 2)}\n`).toString("latin1")
      : renderExplanation(explanation);
    const type = isJson ? "application/json" : "text/plain";
    return {
      code: 200,
      reason: "OK",
      headers: [
        "Content-Type",
        type,
        "Cache-Control",
        "no-store",
        "Content-Length",
        String(body.length),
      ],
      body: this.#request.method === "HEAD" ? "" : body,
    };
  }
}

function readable(_key: string, value: unknown): unknown {
  return typeof value === "string" ? toUtf8(value) : value;
}
