import { randomBytes } from "node:crypto";
import http, { type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { detach, toBuffer } from "@pushpin/tnetstrings";
import {
  acceptKey,
  closePayload,
  encodeMaskedFrame,
  isSendableCloseCode,
  MessageReceiver,
  OPCODE,
} from "@pushpin/websocket";
import { INITIAL_CREDITS, type Packet, Session } from "@pushpin/zhttp";
import type { Timer } from "@pushpin/clock";
import { type Condition, conditionOf } from "../core/condition.ts";
import { planRequest } from "../core/request-plan.ts";
import { HEAD_MAX_BYTES } from "./connection.ts";
import { connectTo } from "./connector.ts";
import type { Engine, Exchange } from "./engine.ts";
import { INTERIM_MAX } from "../core/interim-filter.ts";

/** Limit: one message of a backend. Unit: bytes. */
const MESSAGE_MAX_BYTES = 64 * 1024 * 1024;
/** Limit: body of a refused handshake. Unit: bytes; the rest is cut. */
const REJECTION_MAX_BYTES = 100_000;
/** A backend must have answered the handshake, a refusal's body included, by then. */
const HANDSHAKE_TIMEOUT_MS = 60_000;
/** Limit: time a backend has to close its half after both closes; then it is cut. Unit: ms. */
const CLOSE_WAIT_MS = 10_000;
/** Close code for the end of this process. */
const GOING_AWAY = 1001;
/** Close code for a message above `MESSAGE_MAX_BYTES`. */
const TOO_BIG = 1009;
/** Written by us; what the session says of them is of its own connection. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  "sec-websocket-key",
  "sec-websocket-version",
  "content-length",
]);

/** One WebSocket to a backend, on one ZWS session. */
export class WebSocketExchange implements Exchange {
  session: Session;
  key: string;
  /** What the session is called by all initiators that will ever have it; absent: nobody else can. */
  readonly ref: string | undefined;
  readonly userData: string | undefined;
  keepAliveSlot?: number;
  isTouched = false;
  isInLine = false;
  older: Exchange | undefined;
  newer: Exchange | undefined;
  readonly startedMs: number;
  progressMs: number;
  readonly #engine: Engine;
  readonly #request: Packet;
  #outgoing: http.ClientRequest | undefined;
  #socket: Socket | undefined;
  #receiver: MessageReceiver | undefined;
  #inMessage = false;
  #closeSent = false;
  #closeReceived = false;
  #closeCode: number | undefined;
  #isOver = false;
  #ungranted = 0;
  #timer: Timer | undefined;
  #interim = 0;

  constructor(engine: Engine, session: Session, key: string, first: Packet) {
    this.#engine = engine;
    this.session = session;
    this.key = key;
    this.#request = first;
    this.userData = first.userData;
    if (first.batch) {
      this.ref = `${session.peer} ${session.id}`;
      session.keepOutput();
    }
    this.startedMs = engine.nowMs;
    this.progressMs = this.startedMs;
  }

  start(): void {
    const plan = planRequest(this.#request);
    if (plan === undefined) {
      this.#fail("bad-request");
      return;
    }
    const key = randomBytes(16).toString("base64");
    const headers: string[] = [];
    for (let i = 0; i < plan.headers.length; i += 2)
      if (!OWN_HEADERS.has((plan.headers[i] as string).toLowerCase()))
        headers.push(plan.headers[i] as string, plan.headers[i + 1] as string);
    headers.push(
      "Upgrade",
      "websocket",
      "Connection",
      "Upgrade",
      "Sec-WebSocket-Version",
      "13",
      "Sec-WebSocket-Key",
      key,
    );
    const connect = connectTo(plan, this.#request, this.#engine.connectOptions);
    const outgoing = this.#handshake(() =>
      http.request({
        path: plan.path,
        method: "GET",
        headers: headers as unknown as http.OutgoingHttpHeaders,
        setHost: false,
        maxHeaderSize: HEAD_MAX_BYTES,
        createConnection: (_options, done) => {
          connect((error, socket) => done(error, socket as Socket));
          return undefined;
        },
      }),
    );
    if (outgoing === undefined) return;
    this.#outgoing = outgoing;
    // Compat 1.36: to others the answer is the first packet.
    if (this.#request.batch) this.#engine.acknowledgeSoon(this);
    this.#timer = this.#engine.clock.setTimer(HANDSHAKE_TIMEOUT_MS, () => {
      this.#fail("connection-timeout");
    });
    outgoing.on("information", () => {
      this.#interim += 1;
      if (this.#interim > INTERIM_MAX) this.#fail("undefined-condition"); // Limit: INTERIM_MAX
    });
    outgoing.on("upgrade", (response, socket, head) =>
      this.#upgraded(response, socket as Socket, head, key),
    );
    outgoing.on("response", (response) => this.#rejected(response));
    outgoing.on("error", (error) => this.#fail(conditionOf(error)));
    outgoing.end();
  }

  /** Headers that cannot be sent throw. */
  #handshake(request: () => http.ClientRequest): http.ClientRequest | undefined {
    try {
      return request();
    } catch (error) {
      this.#fail(conditionOf(error as Error));
      return undefined;
    }
  }

  flush(): void {}

  timeOut(): void {
    if (this.#socket === undefined) this.#fail("session-timeout");
    else this.#lost();
  }

  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    const received = this.session.receive(packet, seq, nowMs);
    if (received !== "keep-alive") this.progressMs = nowMs;
    switch (received) {
      case "data": {
        this.#ungranted += packet.body.length;
        let opcode: 0 | 1 | 2 = OPCODE.continuation;
        if (!this.#inMessage)
          opcode = packet.contentType === "binary" ? OPCODE.binary : OPCODE.text;
        this.#inMessage = packet.more;
        this.#write(encodeMaskedFrame(opcode, packet.body, !packet.more));
        break;
      }
      case "ping":
      case "pong":
        this.#ungranted += packet.body.length;
        if (packet.body.length <= 125)
          this.#write(
            encodeMaskedFrame(received === "ping" ? OPCODE.ping : OPCODE.pong, packet.body, true),
          );
        break;
      case "close":
        this.#sendClose(packet.code, toBuffer(packet.body));
        if (this.#closeReceived) this.#finish();
        break;
      case "cancel":
      case "error":
      case "failed":
        this.#engine.pump(this);
        this.abandon();
        return;
      default:
    }
    this.#engine.pump(this);
    if (this.session.queuedBytes < INITIAL_CREDITS / 2) this.#socket?.resume();
  }

  /** The initiator is gone, and this is its successor, which has all up to `packet.at`. */
  reclaim(packet: Packet): boolean {
    if (this.#isOver || this.#socket === undefined) return false;
    const session = Session.reopen(this.session, {
      peer: detach(packet.from),
      id: detach(packet.id),
      inSeq: (packet.seq ?? 0) + 1,
      at: packet.at ?? 0,
      credits: packet.credits,
      nowMs: this.#engine.nowMs,
    });
    if (session === undefined) return false;
    this.session = session;
    return true;
  }

  /** Nobody has come for it: the backend hears of it, or gets the answer to its own close. */
  giveUp(): void {
    if (this.#closeReceived) {
      this.#sendClose(this.#closeCode, Buffer.alloc(0));
      this.session.forget();
      this.#finish();
      this.#engine.forget(this);
      return;
    }
    this.goAway();
    this.abandon();
  }

  goAway(): void {
    const socket = this.#socket;
    if (this.#isOver || socket === undefined) return;
    this.#sendClose(GOING_AWAY, Buffer.alloc(0));
    // What has been written still goes out; an answer is not waited for.
    socket.destroySoon();
    this.#socket = undefined;
  }

  abandon(): void {
    this.#engine.forget(this);
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.cancel();
    this.#outgoing?.destroy();
    this.#socket?.destroy();
    this.#receiver?.destroy();
  }

  #upgraded(response: IncomingMessage, socket: Socket, head: Buffer, key: string): void {
    if (this.#isOver) {
      socket.destroy();
      return;
    }
    if (
      response.statusCode !== 101 ||
      response.headers["sec-websocket-accept"] !== acceptKey(key)
    ) {
      socket.destroy();
      this.#fail("undefined-condition");
      return;
    }
    this.#timer?.cancel();
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setTimeout(0);
    this.#receiver = new MessageReceiver(false, MESSAGE_MAX_BYTES, {
      onMessage: (payload, isBinary) =>
        this.session.message(isBinary ? "binary" : "text", payload, false),
      onPing: (payload) => this.session.ping(payload),
      onPong: (payload) => this.session.pong(payload),
      onClose: (code, reason) => {
        this.#closeReceived = true;
        this.#closeCode = code;
        this.session.close(code, reason);
        if (this.#closeSent) this.#finish();
      },
      onError: (code) => {
        this.#sendClose(code, Buffer.alloc(0));
        this.#lost(code === TOO_BIG ? "frame-too-large" : undefined);
      },
    });
    this.session.respond(
      { code: 101, reason: response.statusMessage ?? "", headers: response.rawHeaders },
      "",
      false,
    );
    socket.on("data", (data: Buffer) => this.#data(data));
    socket.on("drain", () => this.#grant());
    socket.on("error", () => this.#lost());
    socket.on("close", () => this.#lost());
    if (head.length > 0) this.#data(head);
    this.#engine.pump(this);
  }

  #data(data: Buffer): void {
    if (this.#isOver || this.#closeReceived) return;
    this.progressMs = this.#engine.nowMs;
    this.#receiver?.receive(data);
    this.#engine.pump(this);
    if (this.session.queuedBytes > INITIAL_CREDITS) this.#socket?.pause();
  }

  #write(frame: Buffer): void {
    if (this.#closeSent || this.#socket === undefined) return;
    if (this.#socket.write(frame)) this.#grant();
  }

  #grant(): void {
    if (this.#ungranted === 0 || this.session.ended) return;
    this.session.grant(this.#ungranted);
    this.#ungranted = 0;
    this.#engine.pump(this);
  }

  #sendClose(code: number | undefined, reason: Buffer): void {
    if (this.#closeSent) return;
    const sendable = code !== undefined && isSendableCloseCode(code) ? code : undefined;
    this.#write(encodeMaskedFrame(OPCODE.close, closePayload(sendable, reason), true));
    this.#closeSent = true;
  }

  /** Both sides have said their close: nothing is left to say. */
  #finish(): void {
    this.#engine.pump(this);
    if (this.#isOver) return;
    this.#isOver = true;
    const socket = this.#socket;
    if (socket !== undefined) {
      socket.end();
      const timer = this.#engine.clock.setTimer(CLOSE_WAIT_MS, () => socket.destroy()); // Limit: CLOSE_WAIT_MS
      socket.once("close", () => timer.cancel());
    }
    this.#engine.pump(this);
  }

  /** The connection is gone without a close. */
  #lost(condition?: Condition): void {
    if (this.#isOver) return;
    this.#engine.pump(this);
    if (this.#closeReceived && !this.session.ended) {
      // It said its close before it went: what waits for credits is still delivered, in order.
      this.#closeSent = true;
      return;
    }
    if (condition === undefined) this.session.cancel();
    else this.session.fail(condition);
    this.#engine.pump(this);
    this.abandon();
  }

  #rejected(response: IncomingMessage): void {
    const pieces: Buffer[] = [];
    let bytes = 0;
    response.on("data", (piece: Buffer) => {
      if (bytes < REJECTION_MAX_BYTES) pieces.push(piece.subarray(0, REJECTION_MAX_BYTES - bytes));
      bytes += piece.length;
      if (bytes >= REJECTION_MAX_BYTES) response.destroy();
    });
    response.on("error", () => {});
    response.on("close", () => {
      if (this.#isOver) return;
      this.#isOver = true;
      this.#timer?.cancel();
      this.session.reject(
        {
          code: response.statusCode ?? 502,
          reason: response.statusMessage ?? "",
          headers: response.rawHeaders,
        },
        Buffer.concat(pieces),
      );
      this.#engine.pump(this);
    });
  }

  #fail(condition: Condition): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.cancel();
    this.session.fail(condition);
    this.#engine.pump(this);
    this.#outgoing?.destroy();
  }
}
