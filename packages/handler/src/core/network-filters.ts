import type { TimerWheel, WheelEntry, WheelNode } from "@pushpin/clock";
import {
  type FilterContext,
  type FilterOutcome,
  NETWORK_FILTER_CONTENT_MAX_BYTES,
  NETWORK_FILTER_TIMEOUT_MS,
  networkFilterRequest,
  readNetworkFilterAnswer,
} from "@pushpin/grip";
import { type Bytes, concatBytes } from "@pushpin/tnetstrings";
import { isSameOrigin } from "./holds/hold.ts";
import type { InternalRequest, InternalRequests, RequestListener } from "./internal-requests.ts";
import type { Due } from "./link-timers.ts";
import { RateLimiter } from "./rate-limiter.ts";

/** Where a filter's URL is resolved, and how its requests are routed. */
export interface NetworkOrigin {
  readonly uri: string;
  readonly route: string | undefined;
  readonly trusted: boolean;
}

/** Limit: filter requests per second in the whole process, fair by URL. */
export const FILTER_REQUESTS_PER_SECOND = 100;
/** Limit: requests of one URL that wait for their turn. */
export const FILTER_QUEUE_MAX = 10_000;

type Done = (result: FilterOutcome, nowMs: number) => void;

/** `http-check` and `http-modify`: an HTTP endpoint decides about each delivery (handler.md 6.5). */
export class NetworkFilters {
  readonly #requests: InternalRequests;
  readonly #wheel: TimerWheel<Due>;
  readonly #limiter = new RateLimiter({
    rate: FILTER_REQUESTS_PER_SECOND,
    hwm: FILTER_QUEUE_MAX,
    batchWait: false,
  });
  #nowMs = 0;

  constructor(requests: InternalRequests, wheel: TimerWheel<Due>) {
    this.#requests = requests;
    this.#wheel = wheel;
  }

  ask(
    name: string,
    context: FilterContext,
    origin: NetworkOrigin,
    content: Bytes,
    nowMs: number,
    done: Done,
  ): void {
    this.#nowMs = nowMs;
    const query = new FilterQuery(name, content, this.#wheel, done);
    const asked = networkFilterRequest(name, context, origin.uri, content);
    if (!asked.ok) {
      query.fail(asked.error, nowMs);
      return;
    }
    const { uri, headers, body } = asked.value;
    const start = () => {
      if (query.isOver) return false;
      query.request = this.#requests.start(
        {
          method: "POST",
          uri,
          headers,
          body,
          route: origin.route,
          trusted: origin.trusted,
          preferInternal: isSameOrigin(uri, origin.uri),
        },
        query,
        this.#nowMs,
      );
      return true;
    };
    this.#wheel.schedule(query, nowMs + NETWORK_FILTER_TIMEOUT_MS);
    // Limit: FILTER_QUEUE_MAX
    if (this.#limiter.add(uri, 1, start, nowMs)) this.#limiter.advance(nowMs);
    else query.fail("network request limit reached", nowMs);
  }

  get isWaiting(): boolean {
    return this.#limiter.dueMs !== undefined;
  }

  advance(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#limiter.advance(nowMs);
  }
}

class FilterQuery implements RequestListener, Due, WheelEntry {
  wheel?: WheelNode;
  request: InternalRequest | undefined;
  isOver = false;
  readonly #name: string;
  readonly #content: Bytes;
  readonly #wheel: TimerWheel<Due>;
  readonly #done: Done;
  #code = 0;
  #headers: string[] = [];
  #parts: Bytes[] = [];
  #size = 0;

  constructor(name: string, content: Bytes, wheel: TimerWheel<Due>, done: Done) {
    this.#name = name;
    this.#content = content;
    this.#wheel = wheel;
    this.#done = done;
  }

  due(nowMs: number): void {
    this.fail("network request failed: request timed out", nowMs);
  }

  onHead(code: number, headers: string[]): void {
    this.#code = code;
    this.#headers = headers;
  }

  onBody(body: Bytes, nowMs: number): void {
    if (this.isOver) return;
    this.#size += body.length;
    // Limit: NETWORK_FILTER_CONTENT_MAX_BYTES, by the words of the answer's reader
    if (this.#size > NETWORK_FILTER_CONTENT_MAX_BYTES) {
      this.#parts.push(body);
      this.#answered(nowMs);
      return;
    }
    this.#parts.push(body);
    this.request?.grant(body.length);
  }

  onDone(nowMs: number): void {
    this.request = undefined;
    this.#answered(nowMs);
  }

  onFailed(condition: string, nowMs: number): void {
    this.request = undefined;
    this.fail(`network request failed: ${FAILURES[condition] ?? "general error"}`, nowMs);
  }

  fail(text: string, nowMs: number): void {
    this.#finish({ action: "error", text }, nowMs);
  }

  #answered(nowMs: number): void {
    const answer = {
      code: this.#code,
      headers: this.#headers,
      body: concatBytes(this.#parts),
    };
    this.#finish(readNetworkFilterAnswer(this.#name, answer, this.#content), nowMs);
  }

  #finish(result: FilterOutcome, nowMs: number): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#wheel.cancel(this);
    const { request } = this;
    this.request = undefined;
    request?.cancel();
    this.#done(
      result.action === "error"
        ? { action: "error", text: `${this.#name}: ${result.text}` }
        : result,
      nowMs,
    );
  }
}

const FAILURES: Readonly<Record<string, string>> = {
  "remote-connection-failed": "connection refused",
  "connection-timeout": "connection timed out",
  "tls-error": "tls error",
  disconnected: "disconnected",
};
