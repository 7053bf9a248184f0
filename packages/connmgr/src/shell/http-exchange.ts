import {
  ChunkedDecoder,
  type Framing,
  isIdempotent,
  isWritable,
  type RequestHead,
  renderResponseHead,
} from "@pushpin/http";
import { sliceBytes, toBuffer } from "@pushpin/tnetstrings";
import { Packet, type Session } from "@pushpin/zhttp";
import { KeptBody } from "../core/kept-body.ts";
import { planResponse } from "../core/response-plan.ts";
import type { Activity } from "./activity.ts";
import type { ClientConnection } from "./client-connection.ts";
import { frameChunk, type SharedFrames, type SharedHead } from "./shared-frames.ts";

/** A request body up to this rides along in the first packet, where the proxy is known to be ours. */
const FIRST_BODY_MAX_BYTES = 16_384;
const NO_BYTES = Buffer.alloc(0);
const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";

/** Limit: times a request begins anew because its proxy died; it may be what kills them. Unit: repeats. */
export const REPEATS_MAX = 3;

/** One request and its response. */
export class HttpExchange implements Activity {
  session: Session;
  isHeld = false;
  readonly #connection: ClientConnection;
  readonly #isHead: boolean;
  readonly #minorVersion: 0 | 1;
  #isPersistent: boolean;
  #chunked: ChunkedDecoder | undefined;
  /** Body bytes still to be read, of a body with a length. */
  #bodyLeft: number;
  #isBodyDone: boolean;
  #expectsContinue: boolean;
  /** The request, as long as it may have to be sent again: its owner has died without an answer. */
  #request: Packet | undefined;
  /** Its body, as far as it has come, where it was not complete when the request was sent. */
  #kept: KeptBody | undefined;
  #repeats = 0;
  #hasBegun = false;
  #framing: Framing = "none";
  /** Bytes of a response with a length that are still to come. */
  #responseLeft = 0;
  /** Response bytes written and not granted again. */
  #ungranted = 0;

  constructor(connection: ClientConnection, session: Session, head: RequestHead) {
    this.#connection = connection;
    this.session = session;
    this.#isHead = head.method === "HEAD";
    this.#minorVersion = head.minorVersion;
    this.#isPersistent = head.persistent;
    this.#bodyLeft = head.contentLength;
    this.#isBodyDone = head.contentLength === 0;
    if (head.contentLength < 0) this.#chunked = new ChunkedDecoder();
    this.#expectsContinue = head.expectsContinue && !this.#isBodyDone;
  }

  get isBodyDone(): boolean {
    return this.#isBodyDone;
  }

  get patienceMs(): number {
    const { bufferSize, bodyTimeoutMs } = this.#connection.engine.settings;
    if (this.#isBodyDone || this.#expectsContinue) return 0;
    return this.session.queuedBytes > bufferSize ? 0 : bodyTimeoutMs;
  }

  /** Sends the request on; what is not used of `input` is given back. */
  open(packet: Packet, input: Buffer | undefined): Buffer | undefined {
    const length = this.#bodyLeft;
    let rest = input;
    if (
      length > 0 &&
      length <= FIRST_BODY_MAX_BYTES &&
      input !== undefined &&
      input.length >= length &&
      this.#connection.engine.settings.ownProxy
    ) {
      packet.body = input.toString("latin1", 0, length);
      rest = input.subarray(length);
      this.#bodyLeft = 0;
      this.#isBodyDone = true;
      this.#expectsContinue = false;
    }
    packet.more = !this.#isBodyDone;
    this.#keepRequest(packet);
    this.session.open(packet);
    this.#connection.engine.pump(this.#connection);
    return rest;
  }

  #keepRequest(packet: Packet): void {
    const mayRepeat = isIdempotent(packet.method);
    if (!this.#isBodyDone) this.#kept = new KeptBody(this.#connection.engine.keptBodies, mayRepeat);
    else if (!mayRepeat) return;
    this.#request = packet;
  }

  /** It will not be sent again. */
  forgetRequest(): void {
    this.#request = undefined;
    this.#kept?.release();
    this.#kept = undefined;
  }

  #write(body: Buffer, more: boolean): void {
    this.session.write(body, more);
    if (this.#kept?.add(body, more) === false) this.forgetRequest();
  }

  /** Once a backend may have seen the request, one that may not be repeated is not kept. */
  #forgetIfSeen(): void {
    const { session } = this;
    const kept = this.#kept;
    if (kept?.mayRepeat(kept.bytes - session.queuedBytes, session.selfDone) === false)
      this.forgetRequest();
  }

  /** Takes what belongs to the body and gives back the rest. */
  readBody(input: Buffer): Buffer | undefined {
    this.#expectsContinue = false; // the client did not wait
    const rest =
      this.#chunked === undefined
        ? this.#readSized(input)
        : this.#readChunked(this.#chunked, input);
    if (this.#connection.isClosed || !this.#connection.hasSession) return undefined;
    this.#connection.engine.pump(this.#connection);
    this.#forgetIfSeen();
    this.#regulate();
    this.#connection.rearm();
    return rest;
  }

  #readSized(input: Buffer): Buffer | undefined {
    const take = Math.min(this.#bodyLeft, input.length);
    this.#bodyLeft -= take;
    this.#isBodyDone = this.#bodyLeft === 0;
    this.#write(input.subarray(0, take), !this.#isBodyDone);
    return input.subarray(take);
  }

  #readChunked(chunked: ChunkedDecoder, input: Buffer): Buffer | undefined {
    const pieces: Buffer[] = [];
    const result = chunked.decode(input, (piece) => pieces.push(piece));
    if (result.state === "error") {
      if (this.#hasBegun) this.#connection.abort(this.#framing === "close");
      else this.#connection.refuse(400, `Failed to parse request: ${result.error}\n`);
      return undefined;
    }
    if (pieces.length === 1) this.#write(pieces[0] as Buffer, true);
    else if (pieces.length > 1) this.#write(Buffer.concat(pieces), true);
    if (result.state !== "done") return undefined;
    this.#chunked = undefined;
    this.#isBodyDone = true;
    this.#write(NO_BYTES, false);
    return input.subarray(result.end);
  }

  /** Body bytes wait for credits here, and beyond a buffer's worth in the kernel. */
  #regulate(): void {
    const connection = this.#connection;
    const { bufferSize } = connection.engine.settings;
    if (this.session.queuedBytes > bufferSize) connection.socket.pause();
    else if (connection.socket.isPaused() && !(this.#isBodyDone && connection.hasInput))
      connection.socket.resume();
  }

  packet(
    packet: Packet,
    seq: number | undefined,
    nowMs: number,
    shared: SharedFrames | undefined,
  ): void {
    const { session, patienceMs } = this;
    switch (session.receive(packet, seq, nowMs)) {
      case "data":
        this.#response(packet, shared);
        break;
      case "handoff-start":
        if (this.#handOff()) break;
        return;
      case "error":
      case "cancel":
      case "failed":
        this.#failed();
        return;
      default:
    }
    if (session.anchor !== undefined) this.forgetRequest(); // its owner has it
    const connection = this.#connection;
    if (session.ended || !connection.hasSession) return;
    if (this.#expectsContinue && session.outCredits > 0 && !this.#hasBegun) {
      this.#expectsContinue = false;
      connection.write(CONTINUE);
      connection.rearm();
    }
    connection.engine.pump(connection);
    this.#forgetIfSeen();
    if (!this.#isBodyDone || session.hasQueued || connection.socket.isPaused()) this.#regulate();
    // Only what changes the client's duty moves its deadline: a packet alone is no sign of the client.
    if (this.patienceMs !== patienceMs) connection.rearm();
  }

  /** The session gets a new owner, who may keep it open for long. */
  #handOff(): boolean {
    const connection = this.#connection;
    if (connection.hasEnded || connection.engine.isDraining) {
      // Nobody could tell a client that waits from one that has left; and who is going holds nobody.
      connection.destroy();
      return false;
    }
    connection.flush(); // whoever comes next must find nothing of ours half written
    this.isHeld = true;
    this.session.handoffProceed();
    return true;
  }

  ownerReplaced(successor: string): void {
    const connection = this.#connection;
    const { engine } = connection;
    if (engine.succession(connection, successor) !== "lost") return;
    const request = this.#request;
    if (request !== undefined && this.#repeats < REPEATS_MAX) {
      this.#repeats += 1; // Limit: REPEATS_MAX
      this.#again(request);
      return;
    }
    if (this.#hasBegun) connection.abort(this.#framing === "close");
    else connection.refuse(502, "Failed to process request.\n");
  }

  /** Sends the request once more, as a new session: whatever still comes for the old one is nobody's. */
  #again(request: Packet): void {
    const { engine } = this.#connection;
    engine.abandonSession(this.#connection);
    this.session = engine.openSession(this.#connection, "http");
    this.isHeld = false;
    this.#request = request.copy();
    this.session.open(this.#request);
    const kept = this.#kept;
    if (kept !== undefined) {
      for (const piece of kept.pieces) this.session.write(piece, true);
      if (kept.isComplete) this.session.write("", false);
    }
    engine.pump(this.#connection);
    this.#connection.rearm();
  }

  #failed(): void {
    const connection = this.#connection;
    connection.engine.pump(connection); // the cancel of a failed session
    if (this.#hasBegun) connection.abort(this.#framing === "close");
    else connection.refuse(500, "Failed to process request.\n");
  }

  #response(packet: Packet, shared: SharedFrames | undefined): void {
    if (!this.#hasBegun && !this.#begin(packet, shared)) return;
    const connection = this.#connection;
    let { body } = packet;
    this.#ungranted += body.length;
    switch (this.#framing) {
      case "chunked":
        if (body.length > 0) {
          if (shared === undefined) this.#writeChunk(body);
          else connection.writeShared(shared.chunk(body));
        }
        if (!packet.more) connection.write("0\r\n\r\n");
        break;
      case "length":
        if (body.length > this.#responseLeft) {
          // More than announced would be read as the next response.
          connection.engine.log.warn("response longer than its Content-Length, cut");
          body = sliceBytes(body, 0, this.#responseLeft);
          shared = undefined; // it is not what others get
          this.#isPersistent = false;
        }
        this.#responseLeft -= body.length;
        this.#writeBody(body, shared);
        break;
      case "close":
        this.#writeBody(body, shared);
        break;
      case "none":
        connection.markDirty(); // credits for what is thrown away
    }
    if (packet.more) return;
    if (this.#framing === "length" && this.#responseLeft > 0) connection.abort(false);
    else connection.exchangeDone(this.#isPersistent);
  }

  #writeChunk(body: string | Uint8Array): void {
    const connection = this.#connection;
    if (typeof body === "string") {
      connection.write(frameChunk(body));
      return;
    }
    connection.write(`${body.length.toString(16)}\r\n`);
    connection.write(toBuffer(body));
    connection.write("\r\n");
  }

  #writeBody(body: string | Uint8Array, shared: SharedFrames | undefined): void {
    if (body.length === 0) return;
    if (shared !== undefined) this.#connection.writeShared(shared.body(body));
    else this.#connection.write(typeof body === "string" ? body : toBuffer(body));
  }

  #begin(packet: Packet, shared: SharedFrames | undefined): boolean {
    const connection = this.#connection;
    // An early response ends the connection: what is left of the request is not read.
    if (!this.#isBodyDone || connection.engine.isDraining) this.#isPersistent = false;
    const head =
      shared === undefined
        ? this.#headOf(packet)
        : shared.head(this.#headKind, () => this.#headOf(packet));
    if (head === undefined) {
      const isPossible = packet.code === undefined || isHeadWritable(packet);
      connection.refuse(isPossible ? 500 : 502, "Failed to process request.\n");
      return false;
    }
    this.#hasBegun = true;
    this.forgetRequest();
    const { framing, contentLength } = head.plan;
    this.#framing = framing;
    this.#responseLeft = contentLength ?? 0;
    if (framing === "close") this.#isPersistent = false;
    if (shared === undefined) connection.write(head.text);
    else connection.writeShared(head.text);
    return true;
  }

  /** All that makes this client's head of a response differ from others'. */
  get #headKind(): number {
    return (this.#isHead ? 4 : 0) + this.#minorVersion * 2 + (this.#isPersistent ? 1 : 0);
  }

  /** Undefined if the packet is not the start of a response. */
  #headOf(packet: Packet): SharedHead | undefined {
    const { code, reason } = packet;
    const headers = packet.headers ?? [];
    if (code === undefined || !isHeadWritable(packet)) return undefined;
    const minorVersion = this.#minorVersion;
    const plan = planResponse({
      code,
      headers,
      bodyBytes: packet.body.length,
      more: packet.more,
      isHead: this.#isHead,
      minorVersion,
    });
    if (plan === undefined) return undefined;
    const { framing, contentLength } = plan;
    const text = renderResponseHead({
      minorVersion,
      code,
      reason,
      headers,
      framing,
      contentLength,
      persistent: this.#isPersistent && framing !== "close",
    });
    return { text, plan };
  }

  /** Credits in halves of the window, so that small messages cost no packet each. */
  written(): void {
    const { session } = this;
    if (this.#ungranted === 0 || session.ended) return;
    if (session.inCredits > this.#connection.engine.settings.windowBytes / 2) return;
    session.grant(this.#ungranted);
    this.#ungranted = 0;
    this.#connection.engine.pump(this.#connection);
  }

  clientEnded(): void {
    // Whoever closes its half before the answer may wait for it; in the middle of a stream it has left.
    const isStreaming = this.#hasBegun && this.#framing !== "length";
    if (this.isHeld || isStreaming || !this.#isBodyDone) this.#connection.destroy();
  }

  timedOut(): void {
    if (this.#hasBegun) this.#connection.destroy();
    else this.#connection.refuse(408, "Request timeout.\n");
  }

  goAway(): void {
    if (this.isHeld) this.#connection.destroy();
    else this.#isPersistent = false;
  }
}

function isHeadWritable({ code, reason, headers }: Packet): boolean {
  return code !== undefined && code >= 200 && code <= 999 && isWritable(reason, headers ?? []);
}
