import type { Bytes } from "@pushpin/tnetstrings";
import { type Packet, PEER_RESTARTED, type Session } from "@pushpin/zhttp";
import type { RelayPorts, SessionEnd } from "../relay/ports.ts";
import type { MessageType, SocketOrigin, SocketOriginEvents } from "./socket-ports.ts";
import { deliver } from "./zws-client.ts";

/** Close code: the backend's connection is lost, the client may come back. */
const SERVICE_RESTART = 1012;

/** A backend's WebSocket, by way of the HTTP client. */
export class ZwsOrigin implements SocketOrigin, SessionEnd {
  readonly session: Session;
  keepAliveSlot?: number;
  readonly #ports: RelayPorts;
  readonly #first: Packet;
  readonly #events: SocketOriginEvents;
  #isOpen = false;
  #isOver = false;

  /** `first`: the handshake, addressed. */
  constructor(ports: RelayPorts, session: Session, first: Packet, events: SocketOriginEvents) {
    this.#ports = ports;
    this.session = session;
    this.#first = first;
    this.#events = events;
    ports.register(this);
  }

  get queuedBytes(): number {
    return this.session.queuedBytes;
  }

  open(): void {
    this.session.open(this.#first);
    this.#ports.pump(this.session);
  }

  refresh(): void {}

  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    if (this.#isOver) return;
    const received = this.session.receive(packet, seq, nowMs);
    const isFailure = received === "error" || received === "cancel" || received === "failed";
    if (this.#isOpen && !isFailure) deliver(received, packet, this.#events);
    else if (received === "data" || isFailure) this.#answered(packet, received);
    this.#flush();
  }

  expired(): void {
    if (this.#isOpen) this.#end();
    else {
      this.#forget();
      this.#events.failed("expired");
    }
  }

  message(type: MessageType, body: Bytes, more: boolean): void {
    this.session.message(type, body, more);
    this.#flush();
  }

  ping(body: Bytes): void {
    this.session.ping(body);
    this.#flush();
  }

  pong(body: Bytes): void {
    this.session.pong(body);
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
    this.#forget();
  }

  grant(bytes: number): void {
    this.session.grant(bytes);
    this.#flush();
  }

  #answered(packet: Packet, received: string): void {
    const { code, reason, headers = [], body } = packet;
    if (this.#isOpen) {
      if (packet.condition === PEER_RESTARTED) this.#events.close(SERVICE_RESTART, "");
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
