import type { Bytes } from "@pushpin/tnetstrings";
import {
  closePayload,
  encodeFrame,
  isSendableCloseCode,
  MessageReceiver,
  OPCODE,
} from "@pushpin/websocket";
import type { Packet, Session } from "@pushpin/zhttp";
import type { ConnmgrSettings, Shared } from "./engine.ts";

/** Limit: one message of a client. Unit: bytes; a larger one closes with 1009. */
export const MESSAGE_MAX_BYTES = 64 * 1024 * 1024;

/** What the WebSocket half of a connection asks of the socket half. */
export interface WebSocketPorts {
  readonly settings: ConnmgrSettings;
  write(data: string | Buffer): void;
  accept(headers: readonly string[]): void;
  refuse(code: number, reason: string, headers: readonly string[], body: Bytes): void;
  pump(): void;
  pause(): void;
  resume(): void;
  /** Closes the socket when everything is written. */
  finish(): void;
  /** Cuts the connection. */
  drop(): void;
}

/** A client's WebSocket: frames of RFC 6455 on one side, ZWS packets on the other. */
export class WebSocketClient {
  readonly session: Session;
  readonly #ports: WebSocketPorts;
  readonly #receiver: MessageReceiver;
  #accepted = false;
  #early: Buffer[] = [];
  /** A fragmented message towards the client is under way. */
  #inMessage = false;
  #closeSent = false;
  #closeReceived = false;
  #ungranted = 0;

  constructor(session: Session, ports: WebSocketPorts) {
    this.session = session;
    this.#ports = ports;
    this.#receiver = new MessageReceiver(true, MESSAGE_MAX_BYTES, {
      onMessage: (payload, isBinary) => {
        if (this.#closeSent && this.#closeReceived) return;
        session.message(isBinary ? "binary" : "text", payload, false);
      },
      onPing: (payload) => session.ping(payload),
      onPong: (payload) => session.pong(payload),
      onClose: (code, reason) => {
        this.#closeReceived = true;
        session.close(code, reason);
        if (this.#closeSent) ports.finish();
      },
      onError: (code, message) => this.#protocolError(code, message),
    });
  }

  received(data: Buffer): void {
    if (!this.#accepted) {
      this.#early.push(data);
      if (this.#early.reduce((sum, one) => sum + one.length, 0) > this.#ports.settings.bufferSize)
        this.#ports.pause();
      return;
    }
    if (this.#closeReceived) return; // nothing may follow a close
    this.#receiver.receive(data);
    this.#ports.pump();
    if (this.session.queuedBytes > this.#ports.settings.bufferSize) this.#ports.pause();
  }

  packet(packet: Packet, seq: number | undefined, nowMs: number, shared: Shared | undefined): void {
    const received = this.session.receive(packet, seq, nowMs);
    switch (received) {
      case "data":
        if (this.#accepted) this.#message(packet, shared);
        else this.#accept(packet);
        break;
      case "ping":
      case "pong":
        this.#ungranted += packet.body.length;
        if (packet.body.length <= 125 && !this.#closeSent)
          this.#ports.write(
            encodeFrame(received === "ping" ? OPCODE.ping : OPCODE.pong, packet.body, true),
          );
        break;
      case "close":
        this.#close(packet.code, packet.body);
        if (this.#closeReceived) this.#ports.finish();
        break;
      case "error":
        this.#refused(packet);
        return;
      case "cancel":
      case "failed":
        if (this.#accepted) this.#ports.drop();
        else
          this.#ports.refuse(
            500,
            "Internal Server Error",
            ["Content-Type", "text/plain"],
            "Failed to process request.\n",
          );
        return;
      case "handoff-start":
        this.session.handoffProceed();
        break;
      default:
    }
    if (this.session.queuedBytes <= this.#ports.settings.bufferSize && this.#accepted)
      this.#ports.resume();
  }

  /** The socket took all bytes: credits go back in halves of the window. */
  granted(): void {
    if (this.#ungranted === 0 || this.session.ended) return;
    if (this.session.inCredits > this.#ports.settings.windowBytes / 2) return;
    this.session.grant(this.#ungranted);
    this.#ungranted = 0;
  }

  /** The process ends: the client is told to come back. */
  goAway(): void {
    if (this.#accepted) this.#close(1001, "");
    else this.#ports.drop();
  }

  #accept(packet: Packet): void {
    if (packet.code !== 101) {
      this.session.cancel();
      this.#ports.pump();
      this.#ports.refuse(
        500,
        "Internal Server Error",
        ["Content-Type", "text/plain"],
        "Failed to process request.\n",
      );
      return;
    }
    // Compat 1.36: an acceptance without credits means a buffer's worth.
    if (packet.credits === 0) this.session.outCredits += this.#ports.settings.bufferSize;
    this.#accepted = true;
    this.#ports.accept(packet.headers ?? []);
    const early = this.#early;
    this.#early = [];
    for (const data of early) this.received(data);
    if (packet.body.length > 0) this.#message(packet, undefined);
  }

  #message(packet: Packet, shared: Shared | undefined): void {
    this.#ungranted += packet.body.length;
    if (this.#closeSent) return;
    let opcode: 0 | 1 | 2 = OPCODE.continuation;
    if (!this.#inMessage) opcode = packet.contentType === "binary" ? OPCODE.binary : OPCODE.text;
    this.#inMessage = packet.more;
    const frame = () => encodeFrame(opcode, packet.body, !packet.more);
    this.#ports.write(shared === undefined ? frame() : shared.frame(opcode, frame));
  }

  #close(code: number | undefined, reason: Bytes): void {
    if (this.#closeSent) return;
    this.#closeSent = true;
    // Compat 1.36: a close without a code is sent with 1000.
    const sendable = code === undefined || code === 0 ? 1000 : code;
    this.#ports.write(
      encodeFrame(
        OPCODE.close,
        closePayload(isSendableCloseCode(sendable) ? sendable : 1000, reason),
        true,
      ),
    );
  }

  #protocolError(code: number, message: string): void {
    this.#close(code, message);
    this.session.cancel();
    this.#ports.pump();
    this.#ports.finish();
  }

  #refused(packet: Packet): void {
    if (this.#accepted) {
      this.#ports.drop();
      return;
    }
    if (packet.condition === "rejected" && packet.code !== undefined && packet.code >= 200)
      this.#ports.refuse(packet.code, packet.reason, packet.headers ?? [], packet.body);
    else
      this.#ports.refuse(
        500,
        "Internal Server Error",
        ["Content-Type", "text/plain"],
        "Failed to process request.\n",
      );
  }
}
