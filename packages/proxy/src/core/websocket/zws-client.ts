import { filterHeaders } from "@pushpin/http";
import type { Bytes } from "@pushpin/tnetstrings";
import type { FanOut, Packet, Session } from "@pushpin/zhttp";
import type { RelayPorts, SessionEnd } from "../relay/ports.ts";
import type {
  AnchorKeeper,
  HandshakeHead,
  MessageType,
  SocketClient,
  SocketClientEvents,
} from "./socket-ports.ts";

/** A client's WebSocket at a connection manager. */
export class ZwsClient implements SocketClient, SessionEnd, AnchorKeeper {
  readonly session: Session;
  keepAliveSlot?: number;
  readonly #ports: RelayPorts;
  readonly #events: SocketClientEvents;
  #isOver = false;

  constructor(ports: RelayPorts, session: Session, events: SocketClientEvents) {
    this.#ports = ports;
    this.session = session;
    this.#events = events;
    ports.register(this);
  }

  get queuedBytes(): number {
    return this.session.queuedBytes;
  }

  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    deliver(this.session.receive(packet, seq, nowMs), packet, this.#events);
    this.#ports.pump(this.session);
    this.#endIfOver();
  }

  expired(): void {
    this.#end();
  }

  accept(head: HandshakeHead): void {
    this.session.respond(head, "", false);
    this.#flush();
  }

  reject(head: HandshakeHead, body: Bytes): void {
    const headers = filterHeaders(head.headers, (name) => name === "content-length");
    this.session.reject({ ...head, headers }, body);
    this.#ports.pump(this.session);
    this.#end();
  }

  message(type: MessageType, body: Bytes, more: boolean, at?: number): void {
    this.session.message(type, body, more, at);
    this.#flush();
  }

  /** Joins others that get the same message; false if this one has to be sent alone. */
  share(fanOut: FanOut): boolean {
    return !this.#isOver && fanOut.add(this.session);
  }

  ping(body: Bytes, at?: number): void {
    this.session.ping(body, at);
    this.#flush();
  }

  pong(body: Bytes, at?: number): void {
    this.session.pong(body, at);
    this.#flush();
  }

  close(code: number | undefined, reason: Bytes): void {
    this.session.close(code, reason);
    this.#flush();
  }

  drop(): void {
    if (!this.session.ended) {
      this.session.cancel();
      this.#ports.pump(this.session);
    }
    this.#isOver = true;
    this.#ports.unregister(this);
  }

  get keeper(): AnchorKeeper {
    return this;
  }

  /** The connection manager is ours, and keeps what a successor of this process needs. */
  get takesAnchors(): boolean {
    return !this.#isOver && this.session.batch && this.#ports.isSucceeded;
  }

  /** From now on the backend's messages carry their place; to be called before the handshake is answered. */
  keepPlace(): void {
    this.session.at = 0;
  }

  /** Body bytes handed to this end, and how many of them the connection manager has. */
  get submittedBytes(): number {
    return this.session.submittedBytes;
  }

  get confirmedBytes(): number {
    return this.session.confirmedBytes;
  }

  /** Rides on the next packet. */
  anchor(anchor: string): void {
    if (!this.session.setAnchor(anchor))
      this.#ports.log.debug("WebSocket too large to survive a restart of the proxy", {
        id: this.session.id,
      });
  }

  sendAnchor(): void {
    if (this.#isOver) return;
    this.session.sendAnchor();
    this.#flush();
  }

  grant(bytes: number): void {
    this.session.grant(bytes);
    this.#flush();
  }

  #flush(): void {
    this.#ports.pump(this.session);
    this.#endIfOver();
  }

  #endIfOver(): void {
    if (this.session.ended) this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ports.unregister(this);
    this.#events.gone();
  }
}

/** One received packet as an event of either end; `at` is its place in the stream, if that matters. */
export function deliver(
  received: string,
  packet: Packet,
  events: SocketClientEvents,
  at?: number,
): void {
  const { body, more, contentType, credits } = packet;
  switch (received) {
    case "data":
      events.message(contentType === "binary" ? "binary" : "text", body, more, at);
      if (credits > 0) events.drained();
      return;
    case "ping":
      events.ping(body, at);
      return;
    case "pong":
      events.pong(body, at);
      return;
    case "close":
      // Some backends say 0 where they mean no code; no frame could carry it.
      events.close(packet.code === 0 ? undefined : packet.code, packet.body);
      return;
    case "credit":
      events.drained();
      return;
    default:
  }
}
