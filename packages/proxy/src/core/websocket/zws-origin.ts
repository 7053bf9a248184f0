import type { Bytes } from "@pushpin/tnetstrings";
import {
  extentOf,
  type Packet,
  PEER_RESTARTED,
  pieceAfter,
  readReclaimed,
  type ResumePoint,
  type Session,
  type StreamPiece,
} from "@pushpin/zhttp";
import type { RelayPorts, SessionEnd } from "../relay/ports.ts";
import type { HeldSocket, StreamBase } from "./socket-anchor.ts";
import type { MessageType, SocketOrigin, SocketOriginEvents } from "./socket-ports.ts";
import { deliver } from "./zws-client.ts";

export interface ZwsOriginEvents extends SocketOriginEvents {
  /** Whoever kept the connection is gone; nothing follows. Absent: this is reported as a close. */
  keeperGone?(): void;
}

/** Close code: the backend's connection is lost, the client may come back. */
export const SERVICE_RESTART = 1012;

//   opening ──101──▶ open ◀──resume── reclaiming;   any ──failure, cancel, both closes──▶ over
/** A backend's WebSocket, by way of the HTTP client. */
export class ZwsOrigin implements SocketOrigin, SessionEnd {
  readonly session: Session;
  keepAliveSlot?: number;
  readonly #ports: RelayPorts;
  readonly #first: Packet;
  readonly #events: ZwsOriginEvents;
  #base: StreamBase;
  #isOpen = false;
  #isOver = false;
  #ref: string;
  /** As long as the HTTP client has not said what it has: what came from the client since. */
  #reclaiming: { readonly point: ResumePoint; readonly pieces: StreamPiece[] } | undefined;
  /** How much of what the client's side sends again the HTTP client has already (`extentOf`). */
  #skip = 0;
  /** Nobody wants it any more, as soon as it has what came before that. */
  #isDropped = false;
  /** It has the client's close already. */
  #isClosedThere = false;
  #close: { readonly code: number | undefined; readonly reason: Bytes } | undefined;

  /** `first`: the handshake, addressed. */
  constructor(
    ports: RelayPorts,
    session: Session,
    first: Packet,
    events: ZwsOriginEvents,
    base: StreamBase = { up: 0, down: 0 },
  ) {
    this.#base = base;
    this.#ports = ports;
    this.session = session;
    this.#first = first;
    this.#events = events;
    this.#ref = `${session.from} ${session.id}`;
    ports.register(this);
  }

  /** One of ours says what it has taken; of others we only know what we have sent. */
  get queuedBytes(): number {
    const { session } = this;
    if (this.#reclaiming !== undefined) return Number.MAX_SAFE_INTEGER;
    if (session.at === undefined) return session.queuedBytes;
    return session.submittedBytes - session.confirmedBytes;
  }

  get held(): HeldSocket | undefined {
    if (!this.#isOpen || this.session.at === undefined) return undefined;
    return { client: this.session.peer, ref: this.#ref, base: this.#base };
  }

  /** Position of what the backend delivers next. */
  get downPosition(): number {
    return this.#base.down + this.session.inPos;
  }

  open(): void {
    this.session.open(this.#first);
    this.#ports.pump(this.session);
  }

  reclaim({ client, ref, base }: HeldSocket, point: ResumePoint): void {
    this.#ref = ref;
    this.#base = base;
    this.#isOpen = true;
    this.#reclaiming = { point, pieces: [] };
    this.#ports.awaitHttpClient(client, (isThere) => {
      if (this.#isOver) return;
      if (!isThere) {
        this.#lost();
        return;
      }
      this.session.reclaim(client, ref, Math.max(0, point.at - base.down));
      this.#flush();
    });
  }

  refresh(): void {}

  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    if (this.#isOver) return;
    const received = this.session.receive(packet, seq, nowMs);
    const isFailure = received === "error" || received === "cancel" || received === "failed";
    if (received === "resume") this.#reclaimed(packet);
    else if (this.#isOpen && !isFailure)
      deliver(
        received,
        packet,
        this.#events,
        this.session.at === undefined ? undefined : this.downPosition,
      );
    else if (received === "data" || isFailure) this.#answered(packet, received);
    this.#flush();
  }

  expired(): void {
    if (this.#reclaiming !== undefined) this.#lost();
    else if (this.#isOpen) this.#end();
    else {
      this.#forget();
      this.#events.failed("expired");
    }
  }

  message(type: MessageType, body: Bytes, more: boolean): void {
    if (this.#reclaiming === undefined && this.#skip === 0) this.session.message(type, body, more);
    else this.#again({ type: "data", contentType: type, body, more });
    this.#flush();
  }

  ping(body: Bytes): void {
    if (this.#reclaiming === undefined && this.#skip === 0) this.session.ping(body);
    else this.#again({ type: "ping", contentType: "", body, more: false });
    this.#flush();
  }

  pong(body: Bytes): void {
    if (this.#reclaiming === undefined && this.#skip === 0) this.session.pong(body);
    else this.#again({ type: "pong", contentType: "", body, more: false });
    this.#flush();
  }

  close(code: number | undefined, reason: Bytes): void {
    this.#close = { code, reason };
    if (this.#reclaiming !== undefined || this.#isClosedThere) return;
    this.session.close(code, reason);
    this.#flush();
  }

  drop(): void {
    if (this.#reclaiming !== undefined) {
      // First what the client sent before it left.
      this.#isDropped = true;
      return;
    }
    if (!this.session.ended) {
      this.session.cancel();
      this.#ports.pump(this.session);
    }
    this.#forget();
  }

  grant(bytes: number): void {
    this.session.grant(bytes);
    this.#flush();
  }

  /** Something the client's side may have sent to the proxy before us too. */
  #again(piece: StreamPiece): void {
    if (this.#reclaiming !== undefined) {
      this.#reclaiming.pieces.push(piece); // as much as the client has credits for
      return;
    }
    const rest = pieceAfter(piece, this.#skip);
    this.#skip = Math.max(0, this.#skip - extentOf(piece));
    if (rest === undefined) return;
    if (rest.type === "data")
      this.session.message(rest.contentType === "binary" ? "binary" : "text", rest.body, rest.more);
    else this.session[rest.type](rest.body);
  }

  /** The HTTP client has it, and says how far both streams have got. */
  #reclaimed(packet: Packet): void {
    const reclaimed = readReclaimed(packet);
    const reclaiming = this.#reclaiming;
    if (reclaimed === undefined || reclaiming === undefined) return;
    const { point, pieces } = reclaiming;
    const received = this.#base.up + reclaimed.received;
    if (received < point.sent) {
      this.session.cancel();
      this.#lost();
      return;
    }
    this.#reclaiming = undefined;
    this.#skip = received - point.sent;
    this.#isClosedThere = reclaimed.isClosed;
    // A message the client has a part of begins where it has got to; another was for nobody.
    if (reclaimed.isMid && !this.#isDropped) this.#events.inMidMessage(this.#base.down + reclaimed.start === point.at);
    for (const piece of pieces) this.#again(piece);
    if (this.#isDropped) {
      this.#ports.pump(this.session);
      this.drop();
      return;
    }
    if (this.#close !== undefined) this.close(this.#close.code, this.#close.reason);
    this.#events.drained();
  }

  /** Nobody holds it any more. */
  #lost(): void {
    this.#reclaiming = undefined;
    if (this.#isDropped) {
      this.#forget();
      return;
    }
    if (this.#events.keeperGone !== undefined) {
      this.#forget();
      this.#events.keeperGone();
      return;
    }
    this.#events.close(this.#close === undefined ? SERVICE_RESTART : this.#close.code, "");
    this.#end();
  }

  #answered(packet: Packet, received: string): void {
    const { code, reason, headers = [], body } = packet;
    if (this.#isOpen) {
      if (this.#reclaiming !== undefined || packet.condition === PEER_RESTARTED) {
        this.#lost();
        return;
      }
      this.#end();
      return;
    }
    if (received === "data") {
      this.#isOpen = true;
      this.#events.opened({ code: 101, reason: reason || "Switching Protocols", headers });
      return;
    }
    this.#ports.pump(this.session);
    this.#forget();
    if (received === "error" && packet.condition === "rejected" && code !== undefined)
      this.#events.rejected({ code, reason, headers }, body);
    else this.#events.failed(received === "error" ? packet.condition : "disconnected");
  }

  #flush(): void {
    this.#ports.pump(this.session);
    if (this.session.ended) this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#forget();
    this.#events.gone();
  }

  #forget(): void {
    this.#isOver = true;
    this.#ports.unregister(this);
  }
}
