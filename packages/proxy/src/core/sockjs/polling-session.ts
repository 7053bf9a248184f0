import type { WheelNode } from "@pushpin/clock";
import { filterHeaders } from "@pushpin/http";
import { type Bytes, fromUtf8, toUtf8 } from "@pushpin/tnetstrings";
import type { ClientListener, ClientRequest } from "../relay/client-request.ts";
import type {
  HandshakeHead,
  MessageType,
  SocketClient,
  SocketClientEvents,
} from "../websocket/socket-ports.ts";
import type { SocketTimer, SocketTimers } from "../websocket/socket-timers.ts";
import { closeFrame, MessageAssembler, messagesFrame } from "./sockjs-frames.ts";
import { answer, answerText, commonHeaders } from "./sockjs-pages.ts";

/** A poll without news is answered after this. */
export const HEARTBEAT_MS = 25_000;
/** The client comes back within this, or is gone; a close is repeated for as long. */
export const POLL_AGAIN_MS = 5000;
/** Limit: messages that wait for the client's next poll. Unit: bytes; beyond it the session ends. */
export const POLL_BUFFER_MAX_BYTES = 200_000;

export interface PollingOwner {
  readonly timers: SocketTimers;
  nowMs(): number;
  /** The session id is free again. */
  forget(session: PollingSession): void;
}

interface Poll {
  readonly client: ClientRequest;
  /** Of JSON-P; undefined: plain text. */
  readonly callback: string | undefined;
}

//   connecting ──accept──▶ open ──close──▶ closed (for 5 s) ──▶ gone;   any ──drop──▶ gone
type State = "connecting" | "open" | "closed" | "gone";

/** A SockJS session over polls: to the relay it is a WebSocket (proxy.md 6.1). */
export class PollingSession implements SocketClient, SocketTimer, ClientListener {
  wheel?: WheelNode;
  readonly key: string;
  events!: SocketClientEvents;
  readonly #owner: PollingOwner;
  readonly #assembler = new MessageAssembler();
  #state: State = "connecting";
  #poll: Poll | undefined;
  #messages: string[] = [];
  #messageBytes = 0;
  /** Repeated to whoever asks. */
  #closing = "";
  #send: ClientRequest | undefined;
  #untaken = 0;

  constructor(owner: PollingOwner, key: string, first: ClientRequest, callback: string | undefined) {
    this.#owner = owner;
    this.key = key;
    this.#hold({ client: first, callback });
  }

  get queuedBytes(): number {
    return this.#messageBytes + this.#assembler.bytes;
  }

  // Requests of the client

  poll(client: ClientRequest, callback: string | undefined): void {
    const poll = { client, callback };
    if (this.#state === "closed") {
      this.#answer(poll, this.#closing);
      return;
    }
    if (this.#poll !== undefined) {
      this.#answer(poll, closeFrame(2010, "Another connection still open"));
      return;
    }
    this.#hold(poll);
    if (this.#messages.length > 0) this.#deliver();
    else this.#owner.timers.schedule(this, this.#owner.nowMs() + HEARTBEAT_MS);
  }

  /** Messages of the client; the request is answered when the last of them was taken. */
  send(client: ClientRequest, messages: readonly string[]): void {
    if (this.#state === "closed") {
      this.#answer({ client, callback: undefined }, this.#closing);
      return;
    }
    if (this.#send !== undefined) {
      answerText(client, 400, "Bad Request", "Already sending\n");
      return;
    }
    this.#send = client;
    client.listener = this;
    for (const text of messages) {
      const bytes = fromUtf8(text);
      this.#untaken += bytes.length;
      this.events.message("text", bytes, false);
    }
    this.#answerSend();
  }

  body(): void {}

  drained(): void {}

  proceeded(): void {}

  gone(client: ClientRequest): void {
    if (this.#send === client) this.#send = undefined;
    if (this.#poll?.client !== client) return;
    // A poll that is given up is how a browser says good-bye.
    this.#poll = undefined;
    if (this.#state !== "open") {
      this.#end(true);
      return;
    }
    this.#closed(closeFrame(3000, "Client already closed connection"));
    this.events.close(undefined, "");
    this.events.gone();
  }

  // From the relay

  accept(_head: HandshakeHead): void {
    this.#state = "open";
    this.#reply("o");
  }

  reject(head: HandshakeHead, body: Bytes): void {
    const poll = this.#take();
    this.#end(false);
    if (poll === undefined) return;
    const headers = filterHeaders(head.headers, (name) => name === "content-length");
    const length = ["Content-Length", String(body.length)];
    poll.client.answerWith({
      ...head,
      headers: [...headers, ...length, ...commonHeaders(poll.client.info.headers)],
      body,
    });
  }

  message(_type: MessageType, body: Bytes, more: boolean): void {
    if (this.#state !== "open") return;
    const text = this.#assembler.add(body, more);
    // Limit: POLL_BUFFER_MAX_BYTES
    if (this.queuedBytes > POLL_BUFFER_MAX_BYTES && this.#poll === undefined) {
      this.#end(true);
      return;
    }
    if (text === undefined) return;
    this.#messages.push(text);
    this.#messageBytes += text.length;
    if (this.#poll !== undefined) this.#deliver();
  }

  ping(): void {}

  pong(): void {}

  close(code: number | undefined, reason: Bytes): void {
    if (this.#state !== "open") return;
    this.#closed(
      code === undefined ? closeFrame(0, "Connection closed") : closeFrame(code, toUtf8(reason)),
    );
    this.events.close(undefined, "");
    this.events.gone();
  }

  drop(): void {
    this.#end(false);
  }

  grant(bytes: number): void {
    this.#untaken = Math.max(this.#untaken - bytes, 0);
    this.#answerSend();
  }

  due(): void {
    if (this.#state === "closed") this.#end(false);
    else if (this.#poll !== undefined && this.#state === "open") this.#reply("h");
    else this.#end(true);
  }

  #hold(poll: Poll): void {
    this.#poll = poll;
    poll.client.listener = this;
    this.#owner.timers.cancel(this);
  }

  #take(): Poll | undefined {
    const poll = this.#poll;
    this.#poll = undefined;
    if (poll !== undefined) poll.client.listener = undefined;
    return poll;
  }

  #deliver(): void {
    const frame = messagesFrame(this.#messages);
    this.#messages = [];
    this.#messageBytes = 0;
    this.#reply(frame);
    this.events.drained();
  }

  /** Answers the poll; the next has to come soon. */
  #reply(frame: string): void {
    const poll = this.#take();
    if (poll === undefined) return;
    this.#answer(poll, frame);
    this.#owner.timers.schedule(this, this.#owner.nowMs() + POLL_AGAIN_MS);
  }

  #answer({ client, callback }: Poll, frame: string): void {
    client.listener = undefined;
    if (callback === undefined) {
      answerText(client, 200, "OK", fromUtf8(`${frame}\n`));
      return;
    }
    const script = fromUtf8(`/**/${callback}(${JSON.stringify(frame)});\n`);
    answer(client, 200, "OK", ["Content-Type", "application/javascript"], script);
  }

  #answerSend(): void {
    const client = this.#send;
    if (client === undefined || this.#untaken > 0) return;
    this.#send = undefined;
    client.listener = undefined;
    answerText(client, 200, "OK", "ok");
  }

  #closed(frame: string): void {
    this.#state = "closed";
    this.#closing = frame;
    // What has not been fetched yet is lost with the session, as a closed WebSocket's is.
    this.#reply(frame);
    if (this.#send !== undefined) {
      this.#untaken = 0;
      this.#answerSend();
    }
    this.#owner.timers.schedule(this, this.#owner.nowMs() + POLL_AGAIN_MS);
  }

  /** `isReported`: the relay does not know yet. */
  #end(isReported: boolean): void {
    if (this.#state === "gone") return;
    const wasClosed = this.#state === "closed";
    this.#state = "gone";
    this.#owner.timers.cancel(this);
    this.#owner.forget(this);
    for (const client of [this.#take()?.client, this.#send])
      if (client !== undefined) answerText(client, 410, "Gone", "Session terminated\n");
    this.#send = undefined;
    if (isReported && !wasClosed) this.events.gone();
  }
}
