import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import {
  ChunkedDecoder,
  type Framing,
  getAllHeaders,
  getHeader,
  isWritable,
  parseRequestHead,
  type RequestHead,
  reasonPhrase,
  renderResponseHead,
  splitList,
} from "@pushpin/http";
import { toBuffer, toByteString } from "@pushpin/tnetstrings";
import { acceptKey, BAD_HANDSHAKE } from "@pushpin/websocket";
import { Packet, type Session } from "@pushpin/zhttp";
import type { Engine, Shared } from "./engine.ts";
import { WebSocketClient } from "./websocket-client.ts";

/** Limit: scheme, host and target of a request, as the original has it. */
const URI_MAX_BYTES = 4096;
/** A request body up to this rides along in the first packet, where the proxy is known to be ours. */
const FIRST_BODY_MAX_BYTES = 16_384;
const HEAD_END = Buffer.from("\r\n\r\n");

/** What the client waits for, and how what we write is framed. */
interface Exchange {
  readonly session: Session;
  readonly isHead: boolean;
  readonly minorVersion: 0 | 1;
  persistent: boolean;
  /** Body bytes still to be read: -1 with chunked coding. */
  bodyLeft: number;
  chunked: ChunkedDecoder | undefined;
  bodyDone: boolean;
  expectsContinue: boolean;
  responseBegun: boolean;
  framing: Framing;
  /** Bytes of a body with a length that are still to come. */
  responseLeft: number;
}

/** One client socket: HTTP/1.x requests one after the other, or a WebSocket. */
export class ClientConnection {
  readonly slot: number;
  readonly socket: Socket;
  keepAliveSlot?: number;
  wheel?: { slot: number; dueMs: number };
  readonly #engine: Engine;
  readonly #secure: boolean;
  readonly #address: string;
  readonly #port: number;
  #input: Buffer | undefined;
  #exchange: Exchange | undefined;
  #websocket: WebSocketClient | undefined;
  #out = "";
  #outParts: (string | Buffer)[] | undefined;
  #dirty = false;
  #closeAfterWrite = false;
  #peerEnded = false;
  #closed = false;
  #isUpgraded = false;
  /** The client has sent more before its handshake was answered. */
  #isAhead = false;
  /** Response bytes written and not granted yet. */
  #ungranted = 0;

  constructor(engine: Engine, slot: number, socket: Socket) {
    this.#engine = engine;
    this.slot = slot;
    this.socket = socket;
    this.#secure = socket instanceof TLSSocket;
    this.#address = socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, "") ?? "";
    this.#port = socket.remotePort ?? 0;
  }

  get session(): Session {
    return (this.#exchange?.session ?? this.#websocket?.session) as Session;
  }

  get hasSession(): boolean {
    return this.#exchange !== undefined || this.#websocket !== undefined;
  }

  /** Bytes from the client. */
  received(data: Buffer): void {
    if (this.#closed) return;
    if (this.#websocket !== undefined) {
      this.#isAhead ||= !this.#isUpgraded;
      this.#websocket.received(data);
      return;
    }
    this.#input = this.#input === undefined ? data : Buffer.concat([this.#input, data]);
    this.#advance();
  }

  /** The client has sent its FIN. A response under way is still delivered, a stream is over. */
  ended(): void {
    this.#peerEnded = true;
    const exchange = this.#exchange;
    const isServed = exchange !== undefined && exchange.bodyDone && !exchange.responseBegun;
    if (isServed && exchange.session.state === "open") return;
    this.destroy();
  }

  /** The socket is gone. */
  gone(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#endSession();
    this.#engine.remove(this);
  }

  destroy(): void {
    this.socket.destroy();
    this.gone();
  }

  /** A deadline passed: what it means depends on what we were waiting for. */
  timedOut(): void {
    if (this.#exchange === undefined && this.#input !== undefined)
      this.#refuse(408, "Request timeout.\n");
    else if (this.#exchange === undefined) this.destroy();
    else if (!this.#exchange.bodyDone && !this.#exchange.responseBegun)
      this.#refuse(408, "Request timeout.\n");
    else this.destroy();
  }

  /** Drain: idle connections go now, the others after what they are doing. */
  drain(): void {
    if (this.#websocket !== undefined) {
      this.#websocket.goAway();
      return;
    }
    if (this.#exchange === undefined) this.destroy();
    else this.#exchange.persistent = false;
  }

  #advance(): void {
    for (;;) {
      if (this.#closed || this.#websocket !== undefined) return;
      const exchange = this.#exchange;
      if (exchange !== undefined && !exchange.bodyDone) {
        if (this.#input === undefined) return;
        this.#readBody(exchange);
        return;
      }
      if (exchange !== undefined) {
        // Requests sent ahead wait here, up to the buffer's size.
        if ((this.#input?.length ?? 0) > this.#engine.settings.bufferSize) this.socket.pause();
        return;
      }
      if (!this.#readHead()) return;
    }
  }

  #readHead(): boolean {
    let input = this.#input;
    if (input === undefined) {
      this.#engine.setDeadline(this, this.#engine.settings.idleTimeoutMs);
      return false;
    }
    let start = 0;
    while (input[start] === 0x0d && input[start + 1] === 0x0a) start += 2;
    if (start > 0) {
      input = start === input.length ? undefined : input.subarray(start);
      this.#input = input;
      if (input === undefined) return false;
    }
    const end = input.indexOf(HEAD_END);
    const limit = this.#engine.settings.bufferSize;
    if (end < 0 ? input.length >= limit : end + 4 > limit) {
      this.#refuse(431, `Request header size exceeded limit of ${limit} bytes.\n`);
      return false;
    }
    if (end < 0) {
      if (input.includes("\n\n") || (input[0] as number) < 0x21)
        this.#refuse(400, "Failed to parse request: invalid token\n");
      else this.#engine.setDeadline(this, this.#engine.settings.headerTimeoutMs);
      return false;
    }
    const parsed = parseRequestHead(
      input.toString("latin1", 0, end),
      this.#engine.settings.headersMax,
    );
    this.#input = end + 4 === input.length ? undefined : input.subarray(end + 4);
    if (!parsed.ok) {
      this.#refuse(parsed.error.status, parsed.error.text);
      return false;
    }
    this.#engine.clearDeadline(this);
    if (parsed.value.upgrade === "websocket") return this.#openWebSocket(parsed.value);
    return this.#open(parsed.value);
  }

  #uriOf(head: RequestHead, scheme: string): string {
    return `${scheme}${this.#secure ? "s" : ""}://${head.host === "" ? "localhost" : head.host}${head.target === "*" ? "/*" : head.target}`;
  }

  #firstPacket(head: RequestHead, scheme: string): Packet | undefined {
    const uri = this.#uriOf(head, scheme);
    if (uri.length > URI_MAX_BYTES) {
      this.#refuse(414, "Failed to process request.\n");
      return undefined;
    }
    const packet = new Packet();
    packet.method = head.method;
    packet.uri = uri;
    packet.headers = head.headers;
    packet.peerAddress = this.#address;
    packet.peerPort = this.#port;
    return packet;
  }

  #open(head: RequestHead): boolean {
    const packet = this.#firstPacket(head, "http");
    if (packet === undefined) return false;
    const hasBody = head.contentLength !== 0;
    const session = this.#engine.openSession(this, "http");
    const exchange: Exchange = {
      session,
      isHead: head.method === "HEAD",
      minorVersion: head.minorVersion,
      persistent: head.persistent,
      bodyLeft: head.contentLength,
      chunked: head.contentLength < 0 ? new ChunkedDecoder() : undefined,
      bodyDone: !hasBody,
      expectsContinue: head.expectsContinue && hasBody,
      responseBegun: false,
      framing: "none",
      responseLeft: -1,
    };
    this.#exchange = exchange;
    const input = this.#input;
    if (
      this.#engine.settings.ownProxy &&
      head.contentLength > 0 &&
      head.contentLength <= FIRST_BODY_MAX_BYTES &&
      input !== undefined &&
      input.length >= head.contentLength
    ) {
      packet.body = input.toString("latin1", 0, head.contentLength);
      this.#input =
        input.length === head.contentLength ? undefined : input.subarray(head.contentLength);
      exchange.bodyDone = true;
      exchange.expectsContinue = false;
    }
    packet.more = !exchange.bodyDone;
    session.open(packet);
    this.#engine.pump(this);
    return exchange.bodyDone ? this.#input !== undefined : this.#input !== undefined;
  }

  #readBody(exchange: Exchange): void {
    const input = this.#input as Buffer;
    const { session } = exchange;
    if (exchange.chunked === undefined) {
      const take = Math.min(exchange.bodyLeft, input.length);
      exchange.bodyLeft -= take;
      exchange.bodyDone = exchange.bodyLeft === 0;
      this.#input = take === input.length ? undefined : input.subarray(take);
      session.write(input.subarray(0, take), !exchange.bodyDone);
    } else {
      const result = exchange.chunked.decode(input, (piece) => session.write(piece, true));
      if (result.state === "error") {
        this.#refuse(400, `Failed to parse request: ${result.error}\n`);
        return;
      }
      exchange.bodyDone = result.state === "done";
      this.#input =
        result.state === "done" && result.end < input.length
          ? input.subarray(result.end)
          : undefined;
      if (exchange.bodyDone) session.write("", false);
    }
    if (exchange.bodyDone) this.#engine.clearDeadline(this);
    this.#engine.pump(this);
    this.#regulateInput();
    if (exchange.bodyDone) this.#advance();
  }

  /** Body bytes wait for credits here, and beyond a buffer's worth in the kernel. */
  #regulateInput(): void {
    const waiting = this.session?.queuedBytes ?? 0;
    if (waiting > this.#engine.settings.bufferSize) {
      this.socket.pause();
      this.#engine.clearDeadline(this);
      return;
    }
    if (
      this.socket.isPaused() &&
      (this.#exchange === undefined || !this.#exchange.bodyDone || this.#input === undefined)
    )
      this.socket.resume();
    if (this.#exchange?.bodyDone === false)
      this.#engine.setDeadline(this, this.#engine.settings.bodyTimeoutMs);
  }

  /** One packet of our peer; `shared` holds what all receivers of an id list have in common. */
  packet(packet: Packet, seq: number | undefined, nowMs: number, shared: Shared | undefined): void {
    if (this.#websocket !== undefined) {
      this.#websocket.packet(packet, seq, nowMs, shared);
      if (!this.#closed) this.#engine.pump(this);
      return;
    }
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    const received = exchange.session.receive(packet, seq, nowMs);
    switch (received) {
      case "data":
        this.#response(exchange, packet, shared);
        break;
      case "handoff-start":
        // Whoever comes next must find nothing of ours half written.
        this.flush();
        exchange.session.handoffProceed();
        break;
      case "error":
      case "cancel":
      case "failed":
        this.#failed(exchange);
        return;
      default:
    }
    if (this.#closed || this.#exchange !== exchange) return;
    if (this.#peerEnded && packet.from !== "" && exchange.responseBegun) {
      this.destroy();
      return;
    }
    if (exchange.expectsContinue && exchange.session.outCredits > 0 && !exchange.responseBegun) {
      exchange.expectsContinue = false;
      if (this.#input === undefined) this.#write("HTTP/1.1 100 Continue\r\n\r\n");
    }
    this.#engine.pump(this);
    this.#regulateInput();
  }

  #failed(exchange: Exchange): void {
    this.#engine.pump(this); // the cancel of a failed session
    if (exchange.responseBegun) {
      this.flush();
      this.destroy();
    } else this.#refuse(500, "Failed to process request.\n");
  }

  #response(exchange: Exchange, packet: Packet, shared: Shared | undefined): void {
    let body = packet.body;
    if (!exchange.responseBegun) {
      if (!this.#beginResponse(exchange, packet)) return;
    }
    const isWhole = !packet.more;
    if (exchange.framing === "none") body = "";
    if (exchange.framing === "length" && body.length > exchange.responseLeft) {
      // More than announced would be read as the next response.
      this.#engine.log.warn("response longer than its Content-Length, cut", { uri: "" });
      body =
        typeof body === "string"
          ? body.slice(0, exchange.responseLeft)
          : body.subarray(0, exchange.responseLeft);
      exchange.persistent = false;
    }
    exchange.responseLeft -= body.length;
    if (exchange.framing === "chunked") {
      if (body.length > 0)
        this.#write(shared === undefined ? frameChunk(body) : shared.chunk(body, frameChunk));
      if (isWhole) this.#write("0\r\n\r\n");
    } else if (body.length > 0) this.#write(typeof body === "string" ? body : toBuffer(body));
    this.#ungranted += packet.body.length;
    if (!isWhole) return;
    if (exchange.framing === "length" && exchange.responseLeft > 0) {
      this.flush();
      this.destroy();
      return;
    }
    this.#finish(exchange);
  }

  #beginResponse(exchange: Exchange, packet: Packet): boolean {
    const code = packet.code;
    const headers = packet.headers ?? [];
    const reason = packet.reason;
    if (code === undefined || code < 200 || !isWritable(reason, headers)) {
      exchange.session.cancel();
      this.#engine.pump(this);
      this.#refuse(code === undefined ? 500 : 502, "Failed to process request.\n");
      return false;
    }
    exchange.responseBegun = true;
    if (!exchange.bodyDone) exchange.persistent = false; // early response
    const announced = getHeader(headers, "content-length");
    let contentLength: number | undefined =
      announced !== undefined && /^\d{1,15}$/.test(announced) ? Number(announced) : undefined;
    if (code === 204 || code === 304 || exchange.isHead) {
      exchange.framing = "none";
      if (code === 204) contentLength = undefined;
      else if (contentLength === undefined && exchange.isHead && !packet.more && code !== 304)
        contentLength = packet.body.length || undefined;
    } else if (contentLength !== undefined) exchange.framing = "length";
    else if (!packet.more) {
      contentLength = packet.body.length;
      exchange.framing = "length";
    } else exchange.framing = exchange.minorVersion === 1 ? "chunked" : "close";
    exchange.responseLeft = contentLength ?? Number.MAX_SAFE_INTEGER;
    if (exchange.framing === "close" || this.#engine.isDraining) exchange.persistent = false;
    this.#write(
      renderResponseHead({
        minorVersion: exchange.minorVersion,
        code,
        reason,
        headers,
        framing: exchange.framing,
        ...(contentLength === undefined ? {} : { contentLength }),
        persistent: exchange.persistent,
      }),
    );
    return true;
  }

  #finish(exchange: Exchange): void {
    this.#endSession();
    this.#ungranted = 0;
    if (!exchange.persistent || this.#peerEnded) {
      this.#closeAfterWrite = true;
      return;
    }
    if (this.socket.isPaused()) this.socket.resume();
    if (this.#input !== undefined) setImmediate(() => this.#advance());
    else this.#engine.setDeadline(this, this.#engine.settings.idleTimeoutMs);
  }

  /** An answer of our own, after which the connection closes. */
  #refuse(code: number, text: string): void {
    this.#endSession();
    this.#write(
      `${renderResponseHead({ minorVersion: 1, code, reason: reasonPhrase(code), headers: ["Content-Type", "text/plain"], framing: "length", contentLength: text.length, persistent: false })}${text}`,
    );
    this.#engine.countRefused(code);
    this.#input = undefined;
    this.#closeAfterWrite = true;
    this.flush();
  }

  #openWebSocket(head: RequestHead): boolean {
    const key = getHeader(head.headers, "sec-websocket-key");
    if (
      head.method !== "GET" ||
      head.contentLength !== 0 ||
      getHeader(head.headers, "sec-websocket-version") !== "13" ||
      !key ||
      key.length > 220
    ) {
      this.#refuse(400, BAD_HANDSHAKE);
      return false;
    }
    const packet = this.#firstPacket(head, "ws");
    if (packet === undefined) return false;
    this.#isAhead = this.#input !== undefined;
    const session = this.#engine.openSession(this, "websocket");
    this.#websocket = new WebSocketClient(session, {
      settings: this.#engine.settings,
      write: (data) => this.#write(data),
      refuse: (code, reason, headers, body) =>
        this.#rejectWebSocket(code, reason, headers, toByteString(body), head),
      accept: (headers) => {
        const kept = headers.filter(
          (_, i) => !WS_OWN_HEADERS.has((headers[i - (i % 2)] as string).toLowerCase()),
        );
        const all = [
          ...kept,
          ...gripExtension(head.headers, headers),
          "Upgrade",
          "websocket",
          "Connection",
          "Upgrade",
          "Sec-WebSocket-Accept",
          acceptKey(key),
        ];
        this.#write(
          renderResponseHead({
            minorVersion: head.minorVersion,
            code: 101,
            reason: "Switching Protocols",
            headers: all,
            framing: "none",
            persistent: true,
          }),
        );
        this.#isUpgraded = true;
        const early = this.#input;
        this.#input = undefined;
        if (early !== undefined) this.#websocket?.received(early);
      },
      pump: () => this.#engine.pump(this),
      pause: () => this.socket.pause(),
      resume: () => this.socket.resume(),
      finish: () => {
        this.#closeAfterWrite = true;
        this.#markDirty();
      },
      drop: () => {
        this.flush();
        this.destroy();
      },
    });
    session.open(packet);
    this.#engine.pump(this);
    return false;
  }

  #rejectWebSocket(
    code: number,
    reason: string,
    headers: readonly string[],
    body: string,
    head: RequestHead,
  ): void {
    const kept = headers.filter(
      (_, i) => !WS_OWN_HEADERS.has((headers[i - (i % 2)] as string).toLowerCase()),
    );
    if (!isWritable(reason, kept)) {
      this.#refuse(502, "Failed to process request.\n");
      return;
    }
    // What came behind the handshake was meant for the WebSocket: it must not become a request.
    const persistent =
      head.persistent && !this.#isAhead && !this.#peerEnded && !this.#engine.isDraining;
    this.#write(
      renderResponseHead({
        minorVersion: head.minorVersion,
        code,
        reason,
        headers: kept,
        framing: "length",
        contentLength: body.length,
        persistent,
      }) + body,
    );
    this.#endSession();
    this.#websocket = undefined;
    if (persistent) this.#engine.setDeadline(this, this.#engine.settings.idleTimeoutMs);
    else this.#closeAfterWrite = true;
    this.flush();
  }

  #endSession(): void {
    if (!this.hasSession) return;
    const { session } = this;
    if (!session.ended) {
      session.cancel();
      this.#engine.pump(this);
    }
    this.#engine.closeSession(this);
    this.#exchange = undefined;
    if (this.#closed) this.#websocket = undefined;
  }

  #write(data: string | Buffer): void {
    if (typeof data === "string") this.#out += data;
    else {
      this.#outParts ??= [];
      if (this.#out !== "") this.#outParts.push(this.#out);
      this.#outParts.push(data);
      this.#out = "";
    }
    this.#markDirty();
  }

  #markDirty(): void {
    if (this.#dirty || this.#closed) return;
    this.#dirty = true;
    this.#engine.markDirty(this);
  }

  /** Writes what has gathered in this turn, in one call. */
  flush(): void {
    this.#dirty = false;
    if (this.#closed) return;
    const parts = this.#outParts;
    const text = this.#out;
    this.#out = "";
    this.#outParts = undefined;
    let isFlushed = true;
    if (parts === undefined) {
      if (text !== "") isFlushed = this.socket.write(text, "latin1");
    } else if (parts.length === 1 && text === "") isFlushed = this.socket.write(parts[0] as Buffer);
    else {
      if (text !== "") parts.push(text);
      isFlushed = this.socket.write(
        Buffer.concat(
          parts.map((one) => (typeof one === "string" ? Buffer.from(one, "latin1") : one)),
        ),
      );
    }
    if (this.#closeAfterWrite) {
      this.socket.end();
      // A client that never closes its half must not keep the socket.
      this.#engine.setDeadline(this, this.#engine.settings.lingerMs);
      return;
    }
    if (isFlushed || this.socket.writableLength === 0) this.#grant();
    else this.#engine.setDeadline(this, this.#engine.settings.writeTimeoutMs);
  }

  /** The socket has taken everything. */
  drained(): void {
    if (this.#closed || this.#closeAfterWrite) return;
    if (this.#exchange?.bodyDone !== false) this.#engine.clearDeadline(this);
    this.#grant();
  }

  /** Credits for what the client has taken; in halves of the window, so that small messages cost no packet each. */
  #grant(): void {
    if (this.#websocket !== undefined) {
      this.#websocket.granted();
      this.#engine.pump(this);
      return;
    }
    const session = this.#exchange?.session;
    if (session === undefined || this.#ungranted === 0 || session.ended) return;
    if (session.inCredits > this.#engine.settings.windowBytes / 2) return;
    session.grant(this.#ungranted);
    this.#ungranted = 0;
    this.#engine.pump(this);
  }
}

/** Written by the connection manager itself; what a server says of them does not pass. */
const WS_OWN_HEADERS: ReadonlySet<string> = new Set([
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
  const names = (headers: readonly string[]) =>
    getAllHeaders(headers, "sec-websocket-extensions").flatMap(splitList);
  const [grip] = names(accepted).filter(isGrip);
  if (grip === undefined || !names(offered).some(isGrip)) return [];
  return ["Sec-WebSocket-Extensions", grip];
}

function frameChunk(body: string | Uint8Array): string | Buffer {
  const size = `${body.length.toString(16)}\r\n`;
  if (typeof body === "string") return `${size}${body}\r\n`;
  return Buffer.concat([Buffer.from(size, "latin1"), body, Buffer.from("\r\n", "latin1")]);
}
