import type { Bytes, TnetMap } from "@pushpin/tnetstrings";

export type PacketType =
  | "data"
  | "error"
  | "credit"
  | "keep-alive"
  | "cancel"
  | "handoff-start"
  | "handoff-proceed"
  | "close"
  | "ping"
  | "pong"
  // Ours only (docs/wire/takeover.md):
  | "takeover"
  | "resume"
  | "mark"
  | "leaving"
  | "sync"
  | "synced";

/** Limit: bytes of an anchor; a session with a larger one does not survive the death of its owner. */
export const ANCHOR_MAX_BYTES = 16_384;

/** One session of a packet that addresses several; each entry counts in its own sequence. */
export interface IdEntry {
  readonly id: string;
  readonly seq?: number;
}

/** Limit: sessions one packet may address; the original's connection manager drops larger lists. */
export const ID_LIST_MAX = 128;

/**
 * One ZHTTP or ZWS packet, in either direction. A single shape for all types keeps the hot path
 * monomorphic; which fields a type has is in docs/wire/zhttp.md. Texts are byte strings.
 */
export class Packet {
  /** Instance id of the sender. */
  from = "";
  /** Session id; empty when `ids` is set. */
  id = "";
  ids: IdEntry[] | undefined = undefined;
  seq: number | undefined = undefined;
  type: PacketType = "data";
  condition = "";
  /** Body bytes the receiver may send in addition; 0 is the same as absent. */
  credits = 0;
  more = false;
  stream = false;
  routerResp = false;
  /** `ext.multi`: the sender takes packets with id lists for this session. */
  multi = false;
  /** `ext.batch`: the sender takes `B` frames. Ours only. */
  batch = false;
  maxSize: number | undefined = undefined;
  timeoutMs: number | undefined = undefined;
  method = "";
  uri = "";
  /** Flat: name, value, name, value. */
  headers: string[] | undefined = undefined;
  code: number | undefined = undefined;
  reason = "";
  body: Bytes = "";
  contentType = "";
  /** Raw tnetstring, echoed without being looked into. */
  userData: string | undefined = undefined;
  peerAddress = "";
  peerPort = 0;
  connectHost = "";
  connectPort = 0;
  ignorePolicies = false;
  trustConnectHost = false;
  ignoreTlsErrors = false;
  followRedirects = false;
  clientCert = "";
  clientKey = "";
  passthrough: TnetMap | undefined = undefined;
  /** `ext.anchor`: what a successor of the sender needs to go on with the session. Ours only. */
  anchor: string | undefined = undefined;
  /**
   * `ext.at`: a position in the stream of a WebSocket's messages (`extentOf`). With a message towards
   * the client: how far the backend's messages have got with it. Ours only.
   */
  at: number | undefined = undefined;
  /** Members of `ext` other than `multi`, `batch`, `anchor` and `at`. */
  ext: TnetMap | undefined = undefined;

  /** The same packet, not yet numbered. */
  copy(): Packet {
    return Object.assign(new Packet(), this, { seq: undefined });
  }
}
