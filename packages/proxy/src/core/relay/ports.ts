import type { Clock } from "@pushpin/clock";
import type { Logger } from "@pushpin/log";
import type { Bytes } from "@pushpin/tnetstrings";
import type { Kind, Packet, Session } from "@pushpin/zhttp";
import type {
  HttpRequestData,
  HttpRequestLine,
  HttpResponseData,
  InspectResult,
  RequestState,
} from "@pushpin/zrpc";
import type { ExplainSettings } from "../explain.ts";
import type { Route, Target } from "../routes/route-table.ts";
import type { ProxyStats } from "../stats-port.ts";
import type { TransformInput } from "./request-transform.ts";

/** One end of a relay in the engine's tables. */
export interface SessionEnd {
  readonly session: Session;
  /** `<peer>:<id>` where it is at hand. */
  readonly key?: string;
  keepAliveSlot?: number;
  packet(packet: Packet, seq: number | undefined, nowMs: number): void;
  /** The peer was silent for too long. */
  expired(): void;
}

/** What a relay asks of the engine around it. All of it returns at once. */
export interface RelayPorts {
  readonly debug: boolean;
  readonly autoCrossOrigin: boolean;
  /** The HTTP client hands out bodies already decoded (zurl). */
  readonly decodesContent: boolean;
  /** Clients go on after our death: those who keep it are given what that takes. */
  readonly isSucceeded: boolean;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly stats: ProxyStats;
  nowMs(): number;
  /** A session to the HTTP client, or to the ZeroMQ service of the target. */
  openBackend(kind: Kind, credits: number, target?: Target): Session;
  /**
   * Calls back when the way to the HTTP client `id` is open, at once if it is; with false if it has a
   * successor, or does not come in time.
   */
  awaitHttpClient(id: string, done: (isThere: boolean) => void): void;
  /** Whether a service has connected for a `zhttp` target. */
  isReachable(target: Target): boolean;
  /** One packet each way over a `zhttpreq` target; undefined if no answer came. */
  requestReply(target: Target, packet: Packet, done: (reply: Packet | undefined) => void): void;
  register(end: SessionEnd): void;
  unregister(end: SessionEnd): void;
  pump(session: Session): void;
  /** A `Grip-Sig` token by the keys of the route; empty if there is no key. */
  signature(route: Route): string;
  transform(request: TransformInput, route: Route): string[];
  /** What explanations need to know; only asked where one is. */
  explainSettings(showsRouteHeaders: boolean): ExplainSettings;
  inspect(call: InspectCall, done: (result: InspectResult | undefined) => void): void;
  accept(call: AcceptCall, done: (outcome: AcceptOutcome) => void): void;
  logRequest(entry: AccessEntry): void;
}

export interface InspectCall {
  readonly method: string;
  readonly uri: string;
  readonly headers: string[];
  /** What was read of it so far. */
  readonly body: Bytes;
  readonly isTruncated: boolean;
  readonly getSession: boolean;
  readonly autoShare: boolean;
}

export interface AcceptCall {
  readonly states: readonly RequestState[];
  readonly route: Route;
  readonly target: Target | undefined;
  readonly requestData: HttpRequestLine;
  readonly origRequestData: HttpRequestData;
  readonly inspect: InspectResult | undefined;
  /** Absent if the backend was not asked. */
  readonly response: HttpResponseData | undefined;
  readonly isResponseSent: boolean;
}

export type AcceptOutcome =
  | { readonly kind: "accepted" }
  | { readonly kind: "response"; readonly response: HttpResponseData }
  /** Nothing more to say; only where the response was sent already. */
  | { readonly kind: "nothing" }
  | { readonly kind: "bad-format"; readonly detail: string }
  | { readonly kind: "unavailable" };

export interface AccessEntry {
  readonly method: string;
  readonly uri: string;
  readonly target: string | undefined;
  /** The target speaks WebSocket-over-HTTP for this connection. */
  readonly isOverHttp?: boolean;
  readonly route: Route | undefined;
  readonly headers: readonly string[];
  readonly address: string;
  readonly outcome: "accept" | "error" | { readonly code: number; readonly bytes: number };
  readonly isRetry: boolean;
  /** Number of the origin request, where several clients share it. */
  readonly shared?: number;
}
