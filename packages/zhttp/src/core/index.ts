export { decodeAnchor, encodeAnchor } from "./anchor.ts";
export { FanOut } from "./fan-out.ts";
export {
  type Addressed,
  KEEP_ALIVE_CYCLE_S,
  KeepAliveSchedule,
  type KeepAliveTick,
  type Scheduled,
} from "./keep-alive-schedule.ts";
export { ANCHOR_MAX_BYTES, ID_LIST_MAX, type IdEntry, Packet, type PacketType } from "./packet.ts";
export { decodeFrame, decodePacket, PACKET_HEADERS_MAX } from "./packet-decoder.ts";
export { encodePacket, PART_MIN_BYTES, writePacket } from "./packet-encoder.ts";
export { isSuccessor, peerRestarted, Predecessors } from "./predecessors.ts";
export {
  type Reclaimed,
  readReclaimed,
  readResume,
  type Resumable,
  type ResumeOptions,
  type ResumePoint,
} from "./resume.ts";
export { RETAINED_MAX_BYTES } from "./retained-input.ts";
export {
  extentOf,
  pieceAfter,
  RetainedStream,
  STREAM_RETAINED_MAX_BYTES,
  STREAM_RETAINED_MAX_PIECES,
  type StreamPiece,
} from "./retained-stream.ts";
export { SeenItems } from "./seen-items.ts";
export { PACKET_BODY_MAX_BYTES } from "./send-queue.ts";
export {
  INITIAL_CREDITS,
  type Kind,
  OVERRUN_MAX_BYTES,
  PEER_RESTARTED,
  PREFETCH_BYTES,
  type Received,
  type ResponseHead,
  type Role,
  SESSION_EXPIRE_MS,
  Session,
  type SessionOptions,
  type SessionState,
  TAKEOVER_TIMEOUT_MS,
} from "./session.ts";
