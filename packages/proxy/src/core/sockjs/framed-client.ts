import type { WheelNode } from "@pushpin/clock";
import { type Bytes, fromUtf8 } from "@pushpin/tnetstrings";
import type {
  AnchorKeeper,
  HandshakeHead,
  MessageType,
  SocketClient,
  SocketClientEvents,
} from "../websocket/socket-ports.ts";
import type { SocketTimer, SocketTimers } from "../websocket/socket-timers.ts";
import { HEARTBEAT_MS } from "./polling-session.ts";
import {
  BACKEND_MESSAGE_MAX_BYTES,
  CLIENT_MESSAGE_MAX_BYTES,
  MessageAssembler,
  messagesFrame,
  readMessages,
} from "./sockjs-frames.ts";

/** Limit: one wrapped message of a client. Unit: bytes. */
export const WRAPPED_MAX_BYTES = 400_000;

/** A WebSocket that carries SockJS frames; to the relay it is a plain one (proxy.md 6.2). */
export class FramedClient implements SocketClient, SocketTimer {
  wheel?: WheelNode;
  /** What the WebSocket below reports. */
  readonly lowerEvents: SocketClientEvents;
  readonly isFramed = true;
  lower!: SocketClient;
  readonly #timers: SocketTimers;
  readonly #nowMs: () => number;
  readonly #events: SocketClientEvents;
  readonly #incoming = new MessageAssembler(WRAPPED_MAX_BYTES);
  readonly #outgoing = new MessageAssembler(BACKEND_MESSAGE_MAX_BYTES);
  /** Bytes of wrapped messages not yet granted below, and of their content not yet granted by the relay. */
  #owed = 0;
  #untaken = 0;
  #isOpen = false;

  constructor(timers: SocketTimers, nowMs: () => number, events: SocketClientEvents) {
    this.#timers = timers;
    this.#nowMs = nowMs;
    this.#events = events;
    const swallow = (body: Bytes) => this.lower.grant(body.length);
    this.lowerEvents = {
      message: (_type, body, more) => this.#received(body, more),
      ping: swallow,
      pong: swallow,
      close: (code, reason) => events.close(code, reason),
      drained: () => events.drained(),
      gone: () => {
        this.#end();
        events.gone();
      },
    };
  }

  get queuedBytes(): number {
    return this.lower.queuedBytes;
  }

  get keeper(): AnchorKeeper | undefined {
    return this.lower.keeper;
  }

  /** Goes on with one that another process has accepted. */
  resume(): void {
    this.#isOpen = true;
    this.#timers.schedule(this, this.#nowMs() + HEARTBEAT_MS);
  }

  accept(head: HandshakeHead): void {
    this.#isOpen = true;
    this.lower.accept(head);
    this.#write("o");
  }

  reject(head: HandshakeHead, body: Bytes): void {
    this.lower.reject(head, body);
  }

  message(_type: MessageType, body: Bytes, more: boolean): void {
    if (!this.#isOpen) return;
    const added = this.#outgoing.add(body, more);
    if (added.state === "too-large") this.#fail();
    else if (added.state === "complete") this.#write(messagesFrame([added.text]));
  }

  ping(): void {}

  pong(): void {}

  close(code: number | undefined, reason: Bytes): void {
    this.#end();
    this.lower.close(code, reason);
  }

  drop(): void {
    this.#end();
    this.lower.drop();
  }

  grant(bytes: number): void {
    this.#untaken = Math.max(this.#untaken - bytes, 0);
    if (this.#untaken > 0 || this.#owed === 0) return;
    const owed = this.#owed;
    this.#owed = 0;
    this.lower.grant(owed);
  }

  due(): void {
    if (this.#isOpen) this.#write("h");
  }

  #received(body: Bytes, more: boolean): void {
    if (!this.#isOpen) {
      // Nobody reads it, but the client's own close comes behind it.
      this.lower.grant(body.length);
      return;
    }
    this.#owed += body.length;
    const added = this.#incoming.add(body, more);
    if (added.state === "incomplete") {
      // The rest of it needs room, although nothing of it has been taken yet.
      this.grant(0);
      return;
    }
    const messages = added.state === "complete" ? readMessages(added.text) : undefined;
    const contents = messages?.map(fromUtf8);
    // Limit: CLIENT_MESSAGE_MAX_BYTES
    if (contents === undefined || contents.some((one) => one.length > CLIENT_MESSAGE_MAX_BYTES)) {
      this.#fail();
      return;
    }
    for (const one of contents) this.#untaken += one.length;
    for (const one of contents) {
      if (!this.#isOpen) return; // the backend went at one of them
      this.#events.message("text", one, false);
    }
    this.grant(0);
  }

  #write(frame: string): void {
    this.lower.message("text", fromUtf8(frame), false);
    this.#timers.schedule(this, this.#nowMs() + HEARTBEAT_MS);
  }

  #fail(): void {
    this.#end();
    this.lower.drop();
    this.#events.gone();
  }

  #end(): void {
    this.#isOpen = false;
    this.#timers.cancel(this);
  }
}
