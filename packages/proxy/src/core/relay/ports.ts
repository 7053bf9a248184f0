import type { Packet, Session } from "@pushpin/zhttp";
import type { HttpRequestData, InspectResult, RequestState } from "@pushpin/zrpc";
import type { Route, Target } from "../routes/route-table.ts";

/** One end of a relay in the engine's tables. */
export interface SessionEnd {
  readonly session: Session;
  keepAliveSlot?: number;
  packet(packet: Packet, seq: number | undefined, nowMs: number): void;
  /** The peer was silent for too long. */
  expired(): void;
}

/** What a relay asks of the engine around it. */
export interface RelayPorts {
  readonly debug: boolean;
  readonly instanceId: string;
  nowMs(): number;
  /** A session to the HTTP client for this target. */
  openBackend(kind: "http" | "websocket", credits: number): Session;
  register(end: SessionEnd): void;
  unregister(end: SessionEnd): void;
  pump(session: Session): void;
  signature(route: Route): string;
  transform(
    request: {
      method: string;
      uri: string;
      headers: string[];
      peerAddress: string;
      signature: string;
      lastIds: ReadonlyMap<string, string> | undefined;
    },
    route: Route,
  ): string[];
  accept(request: AcceptCall, done: (outcome: AcceptOutcome) => void): void;
  logRequest(entry: AccessEntry): void;
}

export interface AcceptCall {
  readonly states: readonly RequestState[];
  readonly route: Route;
  readonly target: Target | undefined;
  readonly requestData: HttpRequestData;
  readonly origRequestData: HttpRequestData;
  readonly inspect: InspectResult | undefined;
  readonly response: { code: number; reason: string; headers: string[]; body: string | Uint8Array };
}

export type AcceptOutcome =
  | { readonly kind: "accepted" }
  | {
      readonly kind: "response";
      readonly response: {
        code: number;
        reason: string;
        headers: string[];
        body: string | Uint8Array;
      };
    }
  | { readonly kind: "bad-format"; readonly detail: string }
  | { readonly kind: "unavailable" };

export interface AccessEntry {
  readonly method: string;
  readonly uri: string;
  readonly target: string | undefined;
  readonly route: Route | undefined;
  readonly referer: string | undefined;
  readonly userAgent: string | undefined;
  readonly address: string;
  readonly outcome: "accept" | "error" | { readonly code: number; readonly bytes: number };
  readonly isRetry: boolean;
}
