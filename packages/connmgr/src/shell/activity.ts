import type { Packet, Session } from "@pushpin/zhttp";
import type { SharedFrames } from "./shared-frames.ts";

/** What a connection is busy with while a session is open: an HTTP exchange or a WebSocket. */
export interface Activity {
  readonly session: Session;
  /** How long the client may stay silent now; 0 is as long as it likes. */
  readonly patienceMs: number;
  /** One packet of our peer; `shared` is common to all receivers of an id list. */
  packet(
    packet: Packet,
    seq: number | undefined,
    nowMs: number,
    shared: SharedFrames | undefined,
  ): void;
  /** The socket has taken everything. */
  written(): void;
  /** Credits what has not been credited for being too little. */
  grantAll?(): void;
  /** The client has sent its FIN. */
  clientEnded(): void;
  timedOut(): void;
  /** Kept open by the handler: it ends only when somebody ends it. */
  readonly isHeld: boolean;
  /** A process has started that may take the place of this session's owner. */
  ownerReplaced(successor: string): void;
  /** The process ends. */
  goAway(): void;
}
