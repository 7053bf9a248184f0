import type { Socket } from "node:net";
import {
  getAllHeaders,
  getHeader,
  parseRequestHead,
  type RequestHead,
  reasonPhrase,
  renderResponseHead,
} from "@pushpin/http";
import type { WheelNode } from "@pushpin/clock";
import { BAD_HANDSHAKE, negotiateDeflate } from "@pushpin/websocket";
import { Packet, type Session } from "@pushpin/zhttp";
import { Joint, type Output, type Part } from "../core/output.ts";
import type { Activity } from "./activity.ts";
import type { Engine } from "./engine.ts";
import { HttpExchange } from "./http-exchange.ts";
import type { SharedFrames } from "./shared-frames.ts";
import { type Handshake, WebSocketClient } from "./websocket-client.ts";

/** Limit: scheme, host and target of a request, as the original has it. Unit: bytes. */
const URI_MAX_BYTES = 4096;
/** Limit: `Sec-WebSocket-Key`, as the original has it. Unit: bytes. */
const KEY_MAX_BYTES = 220;
/** Limit: bytes of a client thrown away after our last answer. */
const LINGER_MAX_BYTES = 1024 * 1024;
/** A rest up to this is copied, so that it does not keep the whole read alive. */
const COPY_MAX_BYTES = 8192;
const HEAD_END = Buffer.from("\r\n\r\n");
const LF = 0x0a;
const CR = 0x0d;

/** When it is written to: not at all, after others of a fan-out, or in this turn. */
const CLEAN = 0;
const FAN_OUT = 1;
const NOW = 2;
type Dirty = typeof CLEAN | typeof FAN_OUT | typeof NOW;

export interface Origin {
  readonly address: string;
  readonly port: number;
}

/** One client socket: HTTP/1.x requests one after the other, or a WebSocket. */
export class ClientConnection {
  readonly slot: number;
  readonly socket: Socket;
  keepAliveSlot: number | undefined = undefined;
  wheel: WheelNode | undefined = undefined;
  /** The client's half is closed. */
  hasEnded = false;
  readonly #engine: Engine;
  readonly #isSecure: boolean;
  readonly #origin: Origin;
  #activity: Activity | undefined;
  #http: HttpExchange | undefined;
  /** Read and not used yet: a head in parts, or requests sent ahead. */
  #input: Buffer | undefined;
  /** How far `#input` was searched for the end of the head. */
  #searched = 0;
  #out: Output = "";
  #dirty: Dirty = CLEAN;
  /** The deadline is for the client to take bytes; what it had taken when that was set. */
  #waitsForWrite = false;
  #taken = 0;
  /** Our last byte is written or waits in `#out`; what the client still sends is thrown away. */
  #isClosing = false;
  #isClosed = false;
  #discarded = 0;

  constructor(engine: Engine, slot: number, socket: Socket, isSecure: boolean, origin: Origin) {
    this.#engine = engine;
    this.slot = slot;
    this.socket = socket;
    this.#isSecure = isSecure;
    this.#origin = origin;
  }

  get engine(): Engine {
    return this.#engine;
  }

  /** Only while `hasSession`. */
  get session(): Session {
    return (this.#activity as Activity).session;
  }

  get hasSession(): boolean {
    return this.#activity !== undefined;
  }

  get isHeld(): boolean {
    return this.#activity?.isHeld ?? false;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get hasInput(): boolean {
    return this.#input !== undefined;
  }

  /** Bytes from the client. */
  received(data: Buffer): void {
    if (this.#isClosed) return;
    if (this.#isClosing) {
      this.#discarded += data.length;
      if (this.#discarded > LINGER_MAX_BYTES) this.destroy(); // Limit: LINGER_MAX_BYTES
      return;
    }
    const activity = this.#activity;
    if (activity !== undefined && this.#http === undefined) {
      (activity as WebSocketClient).received(data);
      return;
    }
    const isFirst = this.#input === undefined;
    this.#input = this.#input === undefined ? data : Buffer.concat([this.#input, data]);
    this.#advance();
    if (isFirst && this.#activity === undefined && this.#input !== undefined) this.rearm();
  }

  /** The client has sent its FIN. A response under way is still delivered. */
  ended(): void {
    this.hasEnded = true;
    if (this.#isClosing) return; // the socket closes by itself when all is written
    if (this.#activity !== undefined) this.#activity.clientEnded();
    else if (this.#input === undefined) this.close();
    else this.resume();
  }

  /** The socket is gone. */
  gone(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.endSession();
    this.#input = undefined;
    this.#engine.remove(this);
  }

  destroy(): void {
    this.socket.destroy();
    this.gone();
  }

  /** What was under way has failed: closes after what is written already. */
  abort(endsBody: boolean): void {
    if (!endsBody) {
      this.close();
      return;
    }
    // Where the end of the connection is the end of the body, it must not look like one.
    if (this.#isSecure || this.#origin.address === "") this.socket.destroy();
    else this.socket.resetAndDestroy();
    this.gone();
  }

  /** A deadline passed: what it means depends on what we were waiting for. */
  timedOut(): void {
    if (this.#waitsForWrite) {
      if (this.socket.writableLength === 0 || this.#takenBytes() > this.#taken) {
        this.rearm();
        return;
      }
      this.#engine.count("write timeout");
      this.destroy();
    } else if (this.#isClosing) this.destroy();
    else if (this.#activity !== undefined) this.#activity.timedOut();
    else if (this.#input !== undefined) this.refuse(408, "Request timeout.\n");
    else this.destroy();
  }

  #takenBytes(): number {
    return this.socket.bytesWritten - this.socket.writableLength;
  }

  /** The process ends: idle connections go now, the others after what they are doing. */
  drain(): void {
    if (this.#activity !== undefined) this.#activity.goAway();
    else if (!this.#isClosing) this.destroy();
  }

  /** Sets the deadline of whatever is waited for now. */
  rearm(): void {
    const { settings } = this.#engine;
    this.#waitsForWrite = this.socket.writableLength > 0;
    let ms = settings.idleTimeoutMs;
    if (this.#waitsForWrite) {
      this.#taken = this.#takenBytes();
      ms = settings.writeTimeoutMs;
    } else if (this.#isClosing) ms = settings.lingerMs;
    else if (this.#activity !== undefined) ms = this.#activity.patienceMs;
    else if (this.#input !== undefined) ms = settings.headerTimeoutMs;
    if (ms > 0) this.#engine.setDeadline(this, ms);
    else this.#engine.clearDeadline(this);
  }

  /** Goes on with what has been read: bodies, then heads, until more bytes or an answer are needed. */
  #advance(): void {
    while (!this.#isClosed && !this.#isClosing && this.#input !== undefined) {
      const http = this.#http;
      if (http === undefined) {
        if (this.#activity !== undefined || !this.#readHead()) return;
      } else if (http.isBodyDone) {
        this.#limitAhead(this.#input);
        return;
      } else this.#keep(http.readBody(this.#input));
    }
  }

  /** Requests sent ahead wait here. */
  #limitAhead(input: Buffer): void {
    const { bufferSize, pipelineMax } = this.#engine.settings;
    let isFull = input.length > bufferSize;
    if (!isFull && input.length > pipelineMax * HEAD_END.length) {
      let heads = 0;
      for (let at = input.indexOf(HEAD_END); at >= 0; at = input.indexOf(HEAD_END, at + 4))
        heads += 1;
      isFull = heads >= pipelineMax; // Limit: client_pipeline_max
    }
    if (isFull) {
      this.socket.pause();
      return;
    }
    if (input.length <= COPY_MAX_BYTES && input.buffer.byteLength > input.length * 2)
      this.#input = Buffer.from(input);
    if (this.socket.isPaused()) this.socket.resume();
  }

  #keep(rest: Buffer | undefined): void {
    this.#searched = 0;
    this.#input = rest === undefined || rest.length === 0 ? undefined : rest;
  }

  /** Reads one head; false if there is none yet, or nothing may follow it. */
  #readHead(): boolean {
    let input = this.#input as Buffer;
    let start = 0;
    while (input[start] === CR && input[start + 1] === LF) start += 2;
    if (start > 0) {
      this.#keep(input.subarray(start));
      if (this.#input === undefined) return false;
      input = this.#input;
    }
    const limit = this.#engine.settings.bufferSize;
    const end = input.indexOf(HEAD_END, Math.max(0, this.#searched - 3));
    if (end < 0 ? input.length >= limit : end + 4 > limit) {
      this.refuse(431, `Request header size exceeded limit of ${limit} bytes.\n`);
      return false;
    }
    if (end < 0) {
      if (this.#isHopeless(input)) this.refuse(400, "Failed to parse request: invalid token\n");
      this.#searched = input.length;
      return false;
    }
    const parsed = parseRequestHead(
      input.toString("latin1", 0, end),
      this.#engine.settings.headersMax,
    );
    this.#keep(input.subarray(end + 4));
    if (!parsed.ok) {
      this.refuse(parsed.error.status, parsed.error.text);
      return false;
    }
    if (parsed.value.upgrade === "websocket") this.#openWebSocket(parsed.value);
    else this.#openExchange(parsed.value);
    return true;
  }

  /** A head that cannot become valid is answered without waiting for its end: other protocols, bare LF. */
  #isHopeless(input: Buffer): boolean {
    const first = input[0] as number;
    if (first < 0x21 && !(first === CR && input.length === 1)) return true;
    const from = Math.max(0, this.#searched);
    for (let at = input.indexOf(LF, from); at >= 0; at = input.indexOf(LF, at + 1))
      if (at === 0 || input[at - 1] !== CR) return true;
    return false;
  }

  #firstPacket(head: RequestHead, scheme: string): Packet | undefined {
    const host = head.host === "" ? "localhost" : head.host;
    const path = head.target === "*" ? "/*" : head.target;
    const uri = `${scheme}${this.#isSecure ? "s" : ""}://${host}${path}`;
    if (uri.length > URI_MAX_BYTES) {
      this.refuse(414, "Failed to process request.\n");
      return undefined;
    }
    const packet = new Packet();
    packet.method = head.method;
    packet.uri = uri;
    packet.headers = head.headers;
    packet.peerAddress = this.#origin.address;
    packet.peerPort = this.#origin.port;
    return packet;
  }

  #openExchange(head: RequestHead): void {
    const packet = this.#firstPacket(head, "http");
    if (packet === undefined) return;
    const exchange = new HttpExchange(this, this.#engine.openSession(this, "http"), head);
    this.#activity = exchange;
    this.#http = exchange;
    this.#keep(exchange.open(packet, this.#input));
    this.rearm();
  }

  #openWebSocket(head: RequestHead): void {
    const handshake = this.#handshakeOf(head);
    if (handshake === undefined) {
      this.refuse(400, BAD_HANDSHAKE);
      return;
    }
    const packet = this.#firstPacket(head, "ws");
    if (packet === undefined) return;
    const session = this.#engine.openSession(this, "websocket");
    const client = new WebSocketClient(this, session, handshake);
    this.#activity = client;
    client.open(packet);
    this.rearm();
    const early = this.#input;
    this.#input = undefined;
    if (early !== undefined) client.received(early);
  }

  #handshakeOf(head: RequestHead): Handshake | undefined {
    const key = getHeader(head.headers, "sec-websocket-key");
    if (
      head.method !== "GET" ||
      head.contentLength !== 0 ||
      getHeader(head.headers, "sec-websocket-version") !== "13" ||
      !key ||
      key.length > KEY_MAX_BYTES // Limit: KEY_MAX_BYTES
    )
      return undefined;
    const { minorVersion, persistent: isPersistent } = head;
    const offers = getAllHeaders(head.headers, "sec-websocket-extensions");
    const handshake = { key, minorVersion, isPersistent, offers, deflate: undefined };
    if (!this.#engine.settings.allowCompression || offers.length === 0) return handshake;
    const negotiation = negotiateDeflate(offers.join(","));
    if (negotiation.state === "malformed") return undefined;
    if (negotiation.state !== "agreed") return handshake;
    return { ...handshake, deflate: negotiation.agreement };
  }

  /** One packet of our peer. */
  packet(
    packet: Packet,
    seq: number | undefined,
    nowMs: number,
    shared: SharedFrames | undefined,
  ): void {
    this.#activity?.packet(packet, seq, nowMs, shared);
  }

  /** Credits that were not worth a packet of their own. */
  grantRest(): void {
    this.#activity?.grantAll?.();
  }

  ownerReplaced(successor: string): void {
    this.#activity?.ownerReplaced(successor);
  }

  /** An answer of our own, after which the connection closes. */
  refuse(code: number, text: string): void {
    const head = renderResponseHead({
      minorVersion: 1,
      code,
      reason: reasonPhrase(code),
      headers: ["Content-Type", "text/plain"],
      framing: "length",
      contentLength: text.length,
      persistent: false,
    });
    this.#engine.count("refused", code);
    this.endSession();
    this.write(`${head}${text}`);
    this.close();
  }

  /** The answer is complete: the next request, or the end. */
  exchangeDone(isPersistent: boolean): void {
    // Who has a whole answer may ask again at once: all of one publish have theirs before any of that is read.
    this.markDirty();
    this.endSession();
    if (!isPersistent || (this.hasEnded && this.#input === undefined)) {
      this.close();
      return;
    }
    this.rearm();
    // What was sent ahead is used up before more is read.
    if (this.#input !== undefined) this.#engine.resumeSoon(this);
    else if (this.socket.isPaused()) this.socket.resume();
  }

  /** Goes on with requests sent ahead. */
  resume(): void {
    if (this.#activity !== undefined || this.#isClosing || this.#isClosed) return;
    this.#advance();
    if (this.#isClosing || this.#isClosed) return;
    const activity = this.#current();
    if (activity !== undefined) {
      if (this.hasEnded) activity.clientEnded(); // what is missing will not come
      return;
    }
    if (this.hasEnded) {
      this.close();
      return;
    }
    if (this.socket.isPaused()) this.socket.resume();
    if (this.#input !== undefined) this.rearm();
  }

  #current(): Activity | undefined {
    return this.#activity;
  }

  /** Ends the session, if it is not over, by a cancel. */
  endSession(): void {
    const activity = this.#activity;
    if (activity === undefined) return;
    const { session } = activity;
    const isOwned = !session.ended && session.maySend;
    if (isOwned) session.cancel();
    else if (!session.ended) this.#engine.addOrphan(session);
    this.#engine.pump(this);
    if (isOwned && session.anchor !== undefined) this.#engine.addDeparted(session);
    this.#engine.closeSession(this);
    this.#http?.forgetRequest();
    this.#activity = undefined;
    this.#http = undefined;
  }

  /** Closes when everything is written; what the client sends from now on is not read. */
  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#input = undefined;
    this.endSession();
    this.flush();
    if (this.#isClosed) return;
    if (this.socket.isPaused()) this.socket.resume();
    this.rearm();
  }

  write(data: Part): void {
    if (this.#isClosed) return;
    if (typeof this.#out === "string" && typeof data === "string") this.#out += data;
    else this.#out = this.#engine.join.add(this.#out, data);
    this.markDirty();
  }

  /** As `write`, for parts that many clients get: they stay as they are, to be joined once for all. */
  writeShared(data: Part): void {
    if (this.#isClosed) return;
    this.#out = this.#engine.join.add(this.#out, data);
    if (this.#dirty !== CLEAN) return;
    this.#dirty = FAN_OUT;
    this.#engine.markFanOut(this);
  }

  /** It is written to in this turn, also if it would have waited for others of a fan-out. */
  markDirty(): void {
    if (this.#dirty === NOW || this.#isClosed) return;
    this.#dirty = NOW;
    this.#engine.markDirty(this);
  }

  /** Writes what has gathered in this turn, in one call. */
  flush(): void {
    this.#dirty = CLEAN;
    if (this.#isClosed) return;
    const out = this.#out;
    this.#out = "";
    const { socket } = this;
    if (this.#isClosing && socket.writableEnded) return;
    if (out instanceof Joint) this.#writePieces(out.pieces());
    else this.#writeNow(out);
    if (this.#isClosing) {
      socket.end();
      if (socket.writableLength > 0) socket.once("finish", onFinish);
      return;
    }
    const waiting = socket.writableLength;
    if (waiting > 0 && !this.#waitsForWrite) this.rearm();
    // Limit: client_write_buffer_max
    if (waiting <= this.#engine.settings.writeBufferMaxBytes) this.#activity?.written();
  }

  #writePieces(pieces: readonly Part[]): void {
    if (pieces.length > 1) this.socket.cork();
    for (const piece of pieces) this.#writeNow(piece);
    if (pieces.length > 1) this.socket.uncork();
  }

  #writeNow(out: Part): void {
    if (out.length === 0) return;
    if (typeof out === "string") this.socket.write(out, "latin1");
    else this.socket.write(out);
  }

  /** The socket has taken everything. */
  drained(): void {
    if (this.#isClosed) return;
    this.rearm();
    if (!this.#isClosing) this.#activity?.written();
  }
}

function onFinish(this: Socket & { connection?: ClientConnection }): void {
  this.connection?.drained();
}
