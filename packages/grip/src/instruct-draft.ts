import type { Bytes } from "@pushpin/tnetstrings";
import type { KeepAlive } from "./keep-alive.ts";

export type HoldMode = "response" | "stream";

export interface Channel {
  readonly name: string;
  /** Given as an empty value it counts as present and empty. */
  readonly prevId: string | undefined;
  readonly filters: readonly string[];
}

/** Limit: filters of one channel. */
export const CHANNEL_FILTERS_MAX = 5;

/** What the header form has set, and the JSON form may change. */
export interface InstructDraft {
  hold: HoldMode | undefined;
  channels: Channel[];
  timeoutS: number | undefined;
  keepAlive: KeepAlive | undefined;
  meta: Map<string, string>;
  code: number;
  /** Empty: the standard phrase. */
  reason: string;
  headers: string[];
  body: Bytes;
}

/** Adds a channel. Answers an error text. */
export function appendChannel(channels: Channel[], channel: Channel): string | undefined {
  // Limit: CHANNEL_FILTERS_MAX
  if (channel.filters.length > CHANNEL_FILTERS_MAX)
    return `too many filters for channel '${channel.name}'`;
  channels.push(channel);
  return undefined;
}
