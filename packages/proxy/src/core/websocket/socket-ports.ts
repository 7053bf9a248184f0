import type { Bytes } from "@pushpin/tnetstrings";
import type { ResumePoint } from "@pushpin/zhttp";
import type { HeldSocket, OverHttpState } from "./socket-anchor.ts";

/** Head of an answer to a handshake. `headers` is flat: name, value, … */
export interface HandshakeHead {
  readonly code: number;
  readonly reason: string;
  readonly headers: string[];
}

export type MessageType = "text" | "binary";

/**
 * What both ends of a client's WebSocket take. Calls return at once and never throw; whatever
 * cannot be sent yet is queued, and counted by `queuedBytes`.
 */
interface SocketEnd {
  /** Body bytes that wait because this end takes no more at present. */
  readonly queuedBytes: number;
  /**
   * A message or a fragment of one; every fragment carries the type of its message. `at`: how far the
   * backend's messages have got with it, where somebody else can go on with it (`Packet.at`).
   */
  message(type: MessageType, body: Bytes, more: boolean, at?: number): void;
  ping(body: Bytes, at?: number): void;
  pong(body: Bytes, at?: number): void;
  /** Behind everything queued; `code` undefined: a close without code. */
  close(code: number | undefined, reason: Bytes): void;
  /** Ends it without a close frame. Nothing is reported any more. */
  drop(): void;
  /** Bytes that came from this end were passed on: it may deliver as many more. */
  grant(bytes: number): void;
}

/** What both ends report. */
interface SocketEndEvents {
  message(type: MessageType, body: Bytes, more: boolean, at?: number): void;
  ping(body: Bytes, at?: number): void;
  pong(body: Bytes, at?: number): void;
  close(code: number | undefined, reason: Bytes): void;
  /** Credits have come or the queue has shrunk: a look at `queuedBytes` may be worth while. */
  drained(): void;
  /** Gone without, or after, a close. Reported once; nothing follows. */
  gone(): void;
}

/** Keeps what a successor of this process needs: a connection manager, by the client's session. */
export interface AnchorKeeper {
  /** It is one of ours. */
  readonly takesAnchors: boolean;
  /** Rides on the next packet. */
  anchor(anchor: string): void;
  /** As it is, if nothing else goes there now. */
  sendAnchor(): void;
}

/** The client's side: a WebSocket session of a connection manager, or a SockJS session. */
export interface SocketClient extends SocketEnd {
  /** Absent: nobody could go on with it. */
  readonly keeper?: AnchorKeeper | undefined;
  /** Messages of the client are wrapped in frames of SockJS. */
  readonly isFramed?: boolean;
  accept(head: HandshakeHead): void;
  /** Instead of accepting; ends it. */
  reject(head: HandshakeHead, body: Bytes): void;
}

export type SocketClientEvents = SocketEndEvents;

/** The backend's side: a WebSocket, WebSocket-over-HTTP, or the test target. */
export interface SocketOrigin extends SocketEnd {
  /** Starts the handshake; called once, before anything else. */
  open(): void;
  /** What a successor of this process needs of it, and how that goes on; absent: it cannot. */
  readonly state?: OverHttpState;
  resume?(state: OverHttpState): void;
  /** Where the HTTP client holds it for a successor of this process; absent: it does not. */
  readonly held?: HeldSocket | undefined;
  /** Goes on with one that is held; called instead of `open`. */
  reclaim?(held: HeldSocket, point: ResumePoint): void;
  /** Asks the backend for events now (WebSocket-over-HTTP); others do nothing. */
  refresh(): void;
}

export interface SocketOriginEvents extends SocketEndEvents {
  /** The handshake is done; `headers` are all the backend sent. */
  opened(head: HandshakeHead): void;
  /** The backend answered with something else; it has ended. */
  rejected(head: HandshakeHead, body: Bytes): void;
  /** It goes on; the next thing it delivers is the rest of a message, of which the client has or has not a part. */
  inMidMessage(isPassed: boolean): void;
  /** `state` is no longer what it was. */
  stateChanged(): void;
  /** The handshake could not be done; `condition` is the wire's. It has ended. */
  failed(condition: string): void;
}
