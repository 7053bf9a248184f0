import { getAllHeaders, isWritable, renderResponseHead, splitList } from "@pushpin/http";
import { type Bytes, toByteString } from "@pushpin/tnetstrings";
import {
  acceptKey,
  CONTROL_MAX_BYTES,
  closePayload,
  type DeflateAgreement,
  encodeFrame,
  type FrameHandlers,
  FrameReader,
  Inflater,
  isSendableCloseCode,
  OPCODE,
} from "@pushpin/websocket";
import type { Packet, Session } from "@pushpin/zhttp";
import type { Activity } from "./activity.ts";
import type { ClientConnection } from "./client-connection.ts";
import { REPEATS_MAX } from "./http-exchange.ts";
import { dataFrame, isPackable, type SharedFrames } from "./shared-frames.ts";

/** Limit: one message of a client. Unit: bytes; a larger one closes with 1009. */
export const MESSAGE_MAX_BYTES = 64 * 1024 * 1024;
/** Limit: pings and pongs of a client in one second; more closes with 1008. */
export const CONTROL_FRAMES_MAX = 200;

/** Close code: the backend's connection is lost, the client may come back. */
const SERVICE_RESTART = 1012;

/** What the acceptance needs of the client's handshake. */
export interface Handshake {
  readonly key: string;
  readonly minorVersion: 0 | 1;
  /** The connection may stay if the handshake is refused. */
  readonly isPersistent: boolean;
  /** `Sec-WebSocket-Extensions` of the client, as they came. */
  readonly offers: readonly string[];
  readonly deflate: DeflateAgreement | undefined;
}

/** A client's WebSocket: frames of RFC 6455 on one side, ZWS packets on the other. */
export class WebSocketClient implements Activity, FrameHandlers {
  session: Session;
  readonly isHeld = true;
  readonly #connection: ClientConnection;
  /** Until it is answered. */
  #handshake: Handshake | undefined;
  #reader: FrameReader | undefined;
  #early: Buffer[] | undefined;
  #packs = false;
  /** A fragmented message towards the client is under way. */
  #isInMessage = false;
  #isMessagePacked = false;
  #closeSent = false;
  #closeReceived = false;
  #ungranted = 0;
  #controlSecond = 0;
  #controlFrames = 0;

  /** The handshake's request, until it is answered. */
  #request: Packet | undefined;
  #repeats = 0;

  constructor(connection: ClientConnection, session: Session, handshake: Handshake) {
    this.#connection = connection;
    this.session = session;
    this.#handshake = handshake;
  }

  /** Sends the handshake on. */
  open(packet: Packet): void {
    const { engine } = this.#connection;
    this.#request = packet;
    this.session.open(packet);
    engine.pump(this.#connection);
  }

  ownerReplaced(successor: string): void {
    const connection = this.#connection;
    const { engine } = connection;
    if (engine.isConcerned(connection, successor)) this.grantAll();
    if (engine.succession(connection, successor) !== "lost") return;
    const request = this.session.anchor === undefined ? this.#request : undefined;
    if (request !== undefined && this.#repeats < REPEATS_MAX) {
      this.#repeats += 1; // Limit: REPEATS_MAX
      engine.abandonSession(connection);
      this.session = engine.openSession(connection, "websocket");
      this.open(request.copy());
      return;
    }
    if (this.#reader === undefined) {
      connection.refuse(502, "Failed to process request.\n");
      return;
    }
    this.#sendClose(SERVICE_RESTART, "");
    connection.close();
  }

  get patienceMs(): number {
    return this.#closeSent ? this.#connection.engine.settings.closeTimeoutMs : 0;
  }

  received(data: Buffer): void {
    const connection = this.#connection;
    const { bufferSize } = connection.engine.settings;
    if (this.#reader === undefined) {
      this.#early ??= [];
      this.#early.push(data);
      if (this.#early.reduce((sum, one) => sum + one.length, 0) > bufferSize)
        connection.socket.pause();
      return;
    }
    this.#reader.receive(data);
    if (!connection.hasSession) return;
    connection.engine.pump(connection);
    if (this.session.queuedBytes > bufferSize) connection.socket.pause();
  }

  onData(piece: Buffer, isBinary: boolean, last: boolean): void {
    this.session.message(isBinary ? "binary" : "text", piece, !last);
  }

  onPing(payload: Buffer): void {
    if (this.#countControl()) this.session.ping(payload);
  }

  onPong(payload: Buffer): void {
    if (this.#countControl()) this.session.pong(payload);
  }

  onClose(code: number | undefined, reason: Buffer): void {
    this.#closeReceived = true;
    this.session.close(code, reason);
    this.#connection.engine.pump(this.#connection);
    if (this.#closeSent) this.#connection.close();
  }

  onError(code: number, message: string): void {
    this.#connection.engine.count("websocket refused", code);
    this.#sendClose(code, message);
    this.#connection.close(); // cancels the session
  }

  /** Control frames need no credits, so they are counted. */
  #countControl(): boolean {
    const second = Math.floor(this.#connection.engine.nowMs / 1000);
    if (second !== this.#controlSecond) {
      this.#controlSecond = second;
      this.#controlFrames = 0;
    }
    this.#controlFrames += 1;
    if (this.#controlFrames <= CONTROL_FRAMES_MAX) return true; // Limit: CONTROL_FRAMES_MAX
    this.#reader?.end();
    this.onError(1008, "too many control frames");
    return false;
  }

  packet(
    packet: Packet,
    seq: number | undefined,
    nowMs: number,
    shared: SharedFrames | undefined,
  ): void {
    const connection = this.#connection;
    const received = this.session.receive(packet, seq, nowMs);
    switch (received) {
      case "data":
        if (this.#reader !== undefined) this.#message(packet, shared);
        else this.#accept(packet);
        break;
      case "ping":
      case "pong":
        this.#control(received === "ping" ? OPCODE.ping : OPCODE.pong, packet.body);
        break;
      case "close":
        this.#sendClose(packet.code, packet.body);
        if (this.#closeReceived) connection.close();
        break;
      case "error":
        this.#refused(packet);
        break;
      case "cancel":
      case "failed":
        connection.engine.pump(connection);
        if (this.#reader !== undefined) connection.close();
        else connection.refuse(500, "Failed to process request.\n");
        break;
      case "handoff-start":
        this.session.handoffProceed();
        break;
      default:
    }
    if (!connection.hasSession) return;
    connection.engine.pump(connection);
    if (
      this.#reader !== undefined &&
      connection.socket.isPaused() &&
      this.session.queuedBytes <= connection.engine.settings.bufferSize
    )
      connection.socket.resume();
  }

  /** Credits go back in halves of the window. */
  written(): void {
    if (this.#ungranted === 0 || this.session.ended) return;
    const { engine } = this.#connection;
    if (this.session.inCredits > engine.settings.windowBytes / 2) {
      // What is not credited is kept for us by the backend's side: not for long.
      if (this.session.at !== undefined) engine.grantLater(this.#connection);
      return;
    }
    this.grantAll();
  }

  grantAll(): void {
    if (this.#ungranted === 0 || this.session.ended) return;
    this.session.grant(this.#ungranted);
    this.#ungranted = 0;
    this.#connection.engine.pump(this.#connection);
  }

  clientEnded(): void {
    this.#connection.destroy();
  }

  timedOut(): void {
    this.#connection.destroy();
  }

  /** The client is told to come back. */
  goAway(): void {
    if (this.#reader === undefined) this.#connection.destroy();
    else {
      this.#sendClose(1001, "");
      this.#connection.close();
    }
  }

  #accept(packet: Packet): void {
    const connection = this.#connection;
    const { minorVersion, key, deflate, offers } = this.#handshake as Handshake;
    const headers = withoutOwn(packet.headers ?? []);
    if (packet.code !== 101 || !isWritable("", headers)) {
      connection.refuse(packet.code === 101 ? 502 : 500, "Failed to process request.\n");
      return;
    }
    this.#handshake = undefined;
    this.#request = undefined;
    // Compat 1.36: an acceptance without credits means a buffer's worth.
    const { bufferSize } = connection.engine.settings;
    if (packet.credits === 0) this.session.outCredits += bufferSize;
    headers.push("Upgrade", "websocket", "Connection", "Upgrade");
    headers.push("Sec-WebSocket-Accept", acceptKey(key));
    const extensions = gripExtension(offers, packet.headers ?? []);
    if (deflate !== undefined) extensions.push(deflate.answer);
    if (extensions.length > 0) headers.push("Sec-WebSocket-Extensions", extensions.join(", "));
    this.#packs = deflate !== undefined;
    connection.write(
      renderResponseHead({
        minorVersion,
        code: 101,
        reason: "Switching Protocols",
        headers,
        framing: "none",
        persistent: true,
      }),
    );
    this.#reader = new FrameReader(
      {
        isServer: true,
        messageMaxBytes: MESSAGE_MAX_BYTES,
        ...(deflate === undefined ? {} : { inflater: new Inflater(deflate) }),
      },
      this,
    );
    if (packet.body.length > 0) this.#message(packet, undefined);
    const early = this.#early;
    this.#early = undefined;
    for (const data of early ?? []) if (connection.hasSession) this.received(data);
  }

  #message(packet: Packet, shared: SharedFrames | undefined): void {
    const { body, more } = packet;
    this.#ungranted += body.length;
    if (this.#closeSent) {
      this.#connection.markDirty(); // credits for what is thrown away
      return;
    }
    let opcode: 0 | 1 | 2 = OPCODE.continuation;
    if (!this.#isInMessage) {
      opcode = packet.contentType === "binary" ? OPCODE.binary : OPCODE.text;
      this.#isMessagePacked = this.#packs && isPackable(body, more);
    }
    this.#isInMessage = more;
    const packs = this.#isMessagePacked;
    if (shared === undefined) this.#connection.write(dataFrame(opcode, body, !more, packs));
    else this.#connection.writeShared(shared.frame(opcode, body, !more, packs));
  }

  #control(opcode: typeof OPCODE.ping | typeof OPCODE.pong, body: Bytes): void {
    this.#ungranted += body.length;
    if (body.length > CONTROL_MAX_BYTES) this.#connection.close();
    else if (this.#closeSent) this.#connection.markDirty();
    else this.#connection.write(encodeFrame(opcode, body, true));
  }

  #sendClose(code: number | undefined, reason: Bytes): void {
    if (this.#closeSent) return;
    this.#closeSent = true;
    // Compat 1.36: a close without a code is sent with 1000.
    const sendable = code !== undefined && isSendableCloseCode(code) ? code : 1000;
    this.#connection.write(encodeFrame(OPCODE.close, closePayload(sendable, reason), true));
    this.#connection.rearm();
  }

  #refused(packet: Packet): void {
    const connection = this.#connection;
    if (this.#reader !== undefined) {
      connection.close();
      return;
    }
    const { code } = packet;
    if (packet.condition !== "rejected" || code === undefined || code < 200 || code > 999) {
      connection.refuse(500, "Failed to process request.\n");
      return;
    }
    const headers = withoutOwn(packet.headers ?? []);
    if (!isWritable(packet.reason, headers)) {
      connection.refuse(502, "Failed to process request.\n");
      return;
    }
    const body = toByteString(packet.body);
    const { minorVersion, isPersistent } = this.#handshake as Handshake;
    // What came behind the handshake was meant for the WebSocket: it must not become a request.
    const persistent =
      isPersistent &&
      this.#early === undefined &&
      !connection.hasEnded &&
      !connection.engine.isDraining;
    const head = renderResponseHead({
      minorVersion,
      code,
      reason: packet.reason,
      headers,
      framing: "length",
      contentLength: body.length,
      persistent,
    });
    connection.write(head + body);
    connection.exchangeDone(persistent);
  }
}

/** Written by the connection manager itself; what a server says of them does not pass. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  "upgrade",
  "connection",
  "sec-websocket-accept",
  "sec-websocket-extensions",
  "content-length",
  "transfer-encoding",
]);

/** Another GRIP proxy may ask us to speak GRIP with it; other extensions are made here, or not at all. */
function gripExtension(offered: readonly string[], accepted: readonly string[]): string[] {
  const isGrip = (value: string) => /^\s*grip\s*(?:;|$)/.test(value);
  const [grip] = getAllHeaders(accepted, "sec-websocket-extensions")
    .flatMap(splitList)
    .filter(isGrip);
  return grip !== undefined && offered.flatMap(splitList).some(isGrip) ? [grip] : [];
}

function withoutOwn(headers: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2)
    if (!OWN_HEADERS.has((headers[i] as string).toLowerCase()))
      kept.push(headers[i] as string, headers[i + 1] as string);
  return kept;
}
