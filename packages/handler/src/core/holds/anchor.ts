import type { Channel, KeepAlive } from "@pushpin/grip";
import { decodeAnchor, encodeAnchor } from "@pushpin/zhttp";
import type { HttpResponseData, RequestState } from "@pushpin/zrpc";
import type { HoldOrigin, Subscription } from "./hold.ts";

/** What is in force for a stream until the next link response. */
export interface StreamInstruct {
  readonly channels: readonly Channel[];
  readonly meta: ReadonlyMap<string, string>;
  readonly keepAlive: KeepAlive | undefined;
  readonly nextLink: { readonly uri: string; readonly timeoutS: number } | undefined;
}

/** The client of a hold, without the numbers of its session. */
type ClientState = Omit<RequestState, "rid" | "inSeq" | "outSeq" | "outCredits" | "userData">;

interface Common {
  readonly origin: HoldOrigin;
  readonly client: ClientState;
  /** Full names of the route's own subscriptions. */
  readonly implicit: readonly string[];
}

/** A hold as a successor of this process finds it at the connection manager. */
export type HoldAnchor =
  | (Common & {
      readonly kind: "stream";
      readonly instruct: StreamInstruct;
      /** The next link is followed at once. */
      readonly isChain?: boolean;
    })
  | (Common & {
      readonly kind: "response";
      readonly instruct: {
        readonly channels: readonly Channel[];
        readonly meta: ReadonlyMap<string, string>;
        readonly timeoutS: number;
        readonly response: HttpResponseData;
      };
      /** Unit: ms of the wall clock. */
      readonly dueWallMs: number;
    });

export function encodeHoldAnchor(anchor: HoldAnchor): string {
  const { rid: _r, inSeq: _i, outSeq: _o, outCredits: _c, userData: _u, ...client } =
    anchor.client as RequestState;
  return encodeAnchor({ ...anchor, client });
}

/** Undefined for anything that is not an anchor of ours. */
export function decodeHoldAnchor(text: string): HoldAnchor | undefined {
  const value = decodeAnchor(text);
  return isAnchor(value) ? value : undefined;
}

function isAnchor(value: unknown): value is HoldAnchor {
  const anchor = value as Partial<HoldAnchor> | null;
  if (typeof anchor !== "object" || anchor === null) return false;
  const { kind, origin, client, implicit, instruct } = anchor;
  return (
    (kind === "stream" || kind === "response") &&
    typeof origin?.proxyId === "string" &&
    typeof origin.uri === "string" &&
    typeof origin.channelPrefix === "string" &&
    typeof client === "object" &&
    Array.isArray(implicit) &&
    Array.isArray(instruct?.channels) &&
    instruct.channels.every(isChannel) &&
    instruct.meta instanceof Map &&
    (kind === "stream" || typeof (anchor as { dueWallMs?: unknown }).dueWallMs === "number")
  );
}

function isChannel(channel: Partial<Channel> | null): boolean {
  return typeof channel?.name === "string" && Array.isArray(channel.filters);
}

/** The subscriptions as they are now, as the backend would name them. */
export function channelsNow(channels: Iterable<Subscription>): Channel[] {
  const now: Channel[] = [];
  for (const { name, filters, prevId, isImplicit } of channels)
    if (!isImplicit) now.push({ name, filters, prevId });
  return now;
}
