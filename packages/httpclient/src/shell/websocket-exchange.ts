import { randomBytes } from "node:crypto";
import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import type { Socket } from "node:net";
import { toBuffer } from "@pushpin/tnetstrings";
import {
  acceptKey,
  closePayload,
  encodeMaskedFrame,
  isSendableCloseCode,
  MessageReceiver,
  OPCODE,
} from "@pushpin/websocket";
import { INITIAL_CREDITS, type Packet, type Session } from "@pushpin/zhttp";
import { conditionOf } from "../core/condition.ts";
import { planRequest } from "../core/request-plan.ts";
import { CONNECT_TIMEOUT_MS, policyLookup } from "./client-pool.ts";
import type { Engine, Exchange } from "./engine.ts";

/** Limit: one message of a backend. Unit: bytes. */
const MESSAGE_MAX_BYTES = 64 * 1024 * 1024;
/** Limit: body of a refused handshake. Unit: bytes; the rest is cut. */
const REJECTION_MAX_BYTES = 100_000;
/** Written by us; what the session says of them is of its own connection. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  "sec-websocket-key",
  "sec-websocket-version",
  "content-length",
]);

/** One WebSocket to a backend, on one ZWS session. */
export class WebSocketExchange implements Exchange {
  readonly session: Session;
  keepAliveSlot?: number;
  readonly #engine: Engine;
  readonly #request: Packet;
  #outgoing: http.ClientRequest | undefined;
  #socket: Socket | undefined;
  #receiver: MessageReceiver | undefined;
  #inMessage = false;
  #closeSent = false;
  #closeReceived = false;
  #isOver = false;
  #ungranted = 0;

  constructor(engine: Engine, session: Session, first: Packet) {
    this.#engine = engine;
    this.session = session;
    this.#request = first;
  }

  start(): void {
    const plan = planRequest(this.#request);
    if (plan === undefined || !/^wss?:/i.test(this.#request.uri)) {
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
    const outgoing = (plan.secure ? https : http).request({
      host: plan.host,
      port: plan.port,
      path: plan.path,
      method: "GET",
      headers: headers as unknown as http.OutgoingHttpHeaders,
      setHost: false,
      agent: false,
      maxHeaderSize: 65_536,
      ...(this.#request.ignorePolicies ? {} : { lookup: policyLookup(this.#engine.denied) }),
      ...(plan.secure
        ? {
            servername: plan.servername,
            rejectUnauthorized: !this.#request.ignoreTlsErrors,
            ...(this.#request.clientCert === ""
              ? {}
              : { cert: this.#request.clientCert, key: this.#request.clientKey }),
          }
        : {}),
    });
    this.#outgoing = outgoing;
    outgoing.setTimeout(CONNECT_TIMEOUT_MS, () => {
      if (this.#socket === undefined)
        outgoing.destroy(Object.assign(new Error("timed out"), { code: "ETIMEDOUT" }));
    });
    outgoing.on("upgrade", (response, socket, head) =>
      this.#upgraded(response, socket as Socket, head, key),
    );
    outgoing.on("response", (response) => this.#rejected(response));
    outgoing.on("error", (error) => this.#fail(conditionOf(error)));
    outgoing.end();
  }

  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    const received = this.session.receive(packet, seq, nowMs);
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

  abandon(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#engine.close(this);
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
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setTimeout(0);
    const { session } = this;
    this.#receiver = new MessageReceiver(false, MESSAGE_MAX_BYTES, {
      onMessage: (payload, isBinary) =>
        session.message(isBinary ? "binary" : "text", payload, false),
      onPing: (payload) => session.ping(payload),
      onPong: (payload) => session.pong(payload),
      onClose: (code, reason) => {
        this.#closeReceived = true;
        session.close(code, reason);
        if (this.#closeSent) this.#finish();
      },
      onError: (code) => {
        this.#sendClose(code, Buffer.alloc(0));
        this.#lost();
      },
    });
    session.respond(
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
    this.#socket?.end();
    this.#engine.finishWhenSent(this);
  }

  #lost(): void {
    if (this.#isOver) return;
    this.#engine.pump(this);
    if (!this.session.ended) this.session.cancel();
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
      this.session.reject(
        {
          code: response.statusCode ?? 502,
          reason: response.statusMessage ?? "",
          headers: response.rawHeaders,
        },
        Buffer.concat(pieces),
      );
      this.#engine.pump(this);
      this.#engine.close(this);
    });
  }

  #fail(condition: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.session.fail(condition);
    this.#engine.pump(this);
    this.#engine.close(this);
    this.#outgoing?.destroy();
  }
}
