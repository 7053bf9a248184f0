import { detach, type Tnet } from "@pushpin/tnetstrings";
import { Packet } from "./packet.ts";
import type { Kind } from "./session.ts";

export interface ResumeOptions {
  readonly kind: Kind;
  readonly from: string;
  readonly peer: string;
  readonly id: string;
  /** Next number expected from the initiator. */
  readonly inSeq: number;
  /** Next number to send to the initiator. */
  readonly outSeq: number;
  readonly outCredits: number;
  readonly nowMs: number;
  readonly inCredits?: number;
  readonly multi?: boolean;
  readonly routerResp?: boolean;
}

/** What an initiator tells the successor of a session's owner. */
export interface Resumable extends ResumeOptions {
  readonly anchor: string;
  /**
   * Former owners and the number of the last thing each is known to have passed on, for example
   * `proxy-0-a 415,proxy-0-b 3`; what they count is their own affair.
   */
  readonly marks: string;
  /** Of a WebSocket with a connection of its own to the backend. */
  readonly point?: ResumePoint;
}

/** Where a WebSocket's messages stand, by the positions of both streams (`extentOf`). */
export interface ResumePoint {
  /** The client has everything of the backend's messages up to here. */
  readonly at: number;
  /** What the client has sent is sent again from here. */
  readonly sent: number;
  /** That is in the middle of a message. */
  readonly isMid: boolean;
}

/** What the keeper of a backend's WebSocket tells the successor of the session's initiator. */
export interface Reclaimed {
  /** What the backend has sent is sent again from here. */
  readonly start: number;
  /** That is in the middle of a message. */
  readonly isMid: boolean;
  /** Bytes the keeper takes beyond those it has credited. */
  readonly window: number;
  /** It has the client's close. */
  readonly isClosed: boolean;
  /** Everything the client has sent up to here has arrived. */
  readonly received: number;
}

/** Reads the answer to `reclaim`; undefined where it is not one of ours. */
export function readReclaimed({ ext, at }: Packet): Reclaimed | undefined {
  const start = ext?.get("start");
  const window = ext?.get("window");
  if (at === undefined || typeof start !== "number" || typeof window !== "number") return undefined;
  const isMid = ext?.get("mid") === true;
  return { start, isMid, window, isClosed: ext?.get("closed") === true, received: at };
}

/** Reads a packet of the type `resume`; undefined where it is not one of ours. */
export function readResume(packet: Packet, from: string, nowMs: number): Resumable | undefined {
  const { ext, anchor, seq, id } = packet;
  if (ext === undefined || anchor === undefined || seq === undefined) return undefined;
  const outSeq = ext.get("next");
  const inCredits = ext.get("window");
  const marks = ext.get("marks");
  const sent = ext.get("sent");
  const point =
    packet.at === undefined || typeof sent !== "number"
      ? {}
      : { point: { at: packet.at, sent, isMid: ext.get("mid") === true } };
  if (typeof outSeq !== "number" || typeof inCredits !== "number") return undefined;
  return {
    kind: ext.get("ws") === true ? "websocket" : "http",
    from,
    peer: detach(packet.from),
    id: detach(id),
    inSeq: seq + 1,
    outSeq,
    outCredits: packet.credits,
    inCredits,
    routerResp: ext.get("router-resp") === true,
    multi: packet.multi,
    nowMs,
    anchor: detach(anchor),
    marks: typeof marks === "string" ? detach(marks) : "",
    ...point,
  };
}

/** The packet of `readResume`; the session adds ids, numbers and credits. */
export function resumePacket(resumed: {
  readonly kind: Kind;
  readonly anchor: string;
  readonly marks: string;
  /** Next number expected from the successor. */
  readonly next: number;
  /** Body bytes the initiator may send. */
  readonly window: number;
  readonly routerResp: boolean;
  readonly point: ResumePoint | undefined;
}): Packet {
  const { kind, anchor, marks, next, window, point } = resumed;
  const packet = new Packet();
  packet.type = "resume";
  packet.anchor = anchor;
  packet.ext = new Map<string, Tnet>([
    ["next", next],
    ["window", window],
    ["marks", marks],
  ]);
  if (point !== undefined) {
    packet.at = point.at;
    packet.ext.set("sent", point.sent);
    if (point.isMid) packet.ext.set("mid", true);
  }
  if (kind === "websocket") packet.ext.set("ws", true);
  if (resumed.routerResp) packet.ext.set("router-resp", true);
  return packet;
}

/** Asks the keeper of a WebSocket for it; `ref` is its name there. */
export function reclaimPacket(ref: string, at: number): Packet {
  const packet = new Packet();
  packet.type = "resume";
  packet.at = at;
  packet.batch = true;
  packet.ext = new Map<string, Tnet>([["of", ref]]);
  return packet;
}

/** The packet of `readReclaimed`. */
export function reclaimedPacket({ start, isMid, window, isClosed, received }: Reclaimed): Packet {
  const packet = new Packet();
  packet.type = "resume";
  packet.at = received;
  packet.batch = true;
  packet.ext = new Map<string, Tnet>([
    ["start", start],
    ["window", window],
  ]);
  if (isMid) packet.ext.set("mid", true);
  if (isClosed) packet.ext.set("closed", true);
  return packet;
}
