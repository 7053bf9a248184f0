import { decodeAnchor, encodeAnchor } from "@pushpin/zhttp";
import type { SocketRequest } from "./socket-relay.ts";

/** What a backend that speaks HTTP has asked to be kept for it. */
export interface OverHttpState {
  /** Flat: name, value, … */
  readonly meta: readonly string[];
  /** 0: none. */
  readonly keepAliveMs: number;
}

/** A backend's WebSocket that the HTTP client holds. */
export interface HeldSocket {
  /** Instance id of the HTTP client. */
  readonly client: string;
  /** What it is called there. */
  readonly ref: string;
  /** Where its streams of messages begin, by the positions of the client's session. */
  readonly base: StreamBase;
  /** What the client has been told of the handshake, where the connection may be made again. */
  readonly agreed?: string | undefined;
}

/** A connection that took the place of another goes on where that one ended. */
export interface StreamBase {
  /** Position of the first thing the client sends on it. */
  readonly up: number;
  /** Position of the first thing the backend sends on it. */
  readonly down: number;
}

/** A WebSocket, as a successor of this process finds it at the connection manager. */
export interface SocketAnchor {
  readonly request: Omit<SocketRequest, "route">;
  /** Id of the route; a SockJS session's address may be another one's. */
  readonly route: string | undefined;
  /** The client speaks SockJS inside of its WebSocket. */
  readonly isFramed: boolean;
  readonly target: string;
  /** Prefix of the backend's messages for the client; absent: it does not speak GRIP. */
  readonly gate: string | undefined;
  readonly isDetached: boolean;
  readonly hasControl: boolean;
  /** The handler's own anchor. */
  readonly control: string | undefined;
  readonly keepAlive: { readonly timeoutS: number; readonly isIdle: boolean } | undefined;
  readonly origin: OverHttpState;
  /** Absent where the backend speaks HTTP. */
  readonly held: HeldSocket | undefined;
}

export function encodeSocketAnchor(anchor: SocketAnchor): string {
  const { uri, headers, peerAddress, logicalAddress, isTrusted, debug, connectionId } =
    anchor.request;
  const request = { uri, headers, peerAddress, logicalAddress, isTrusted, debug, connectionId };
  return encodeAnchor({ ...anchor, request });
}

/** Undefined for anything that is not an anchor of ours. */
export function decodeSocketAnchor(text: string): SocketAnchor | undefined {
  const anchor = decodeAnchor(text) as Partial<SocketAnchor> | null | undefined;
  const isOurs =
    typeof anchor?.request?.uri === "string" &&
    Array.isArray(anchor.request.headers) &&
    anchor.request.headers.every((one) => typeof one === "string") &&
    typeof anchor.request.peerAddress === "string" &&
    typeof anchor.request.logicalAddress === "string" &&
    typeof anchor.request.connectionId === "string" &&
    typeof anchor.target === "string" &&
    typeof anchor.isFramed === "boolean" &&
    (anchor.route === undefined || typeof anchor.route === "string") &&
    typeof anchor.origin?.keepAliveMs === "number" &&
    Array.isArray(anchor.origin.meta) &&
    anchor.origin.meta.every((one) => typeof one === "string") &&
    (anchor.held === undefined ||
      (typeof anchor.held.client === "string" && typeof anchor.held.ref === "string" &&
        (anchor.held.agreed === undefined || typeof anchor.held.agreed === "string") &&
        typeof anchor.held.base?.up === "number" &&
        typeof anchor.held.base.down === "number"));
  return isOurs ? (anchor as SocketAnchor) : undefined;
}
