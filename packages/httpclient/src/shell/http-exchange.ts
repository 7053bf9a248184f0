import { Readable } from "node:stream";
import { concatBytes, detach, toBuffer } from "@pushpin/tnetstrings";
import { INITIAL_CREDITS, Packet, type Session } from "@pushpin/zhttp";
import type { Client, Dispatcher } from "undici";
import { conditionOf } from "../core/condition.ts";
import { planRequest, type RequestPlan } from "../core/request-plan.ts";
import type { Engine, Exchange } from "./engine.ts";

const SAFE_TO_REPEAT: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "PUT",
  "DELETE",
  "TRACE",
]);
/** Upload bytes read ahead of the connection. */
const UPLOAD_BUFFER_BYTES = 65_536;
/** Limit: redirects followed for one request. */
const REDIRECTS_MAX = 8;

/** One request to a backend and its response, on one ZHTTP session. */
export class HttpExchange implements Exchange, Dispatcher.DispatchHandler {
  readonly session: Session;
  keepAliveSlot?: number;
  readonly #engine: Engine;
  #request: Packet;
  #plan: RequestPlan | undefined;
  #client: Client | undefined;
  #mayHaveTimedOut = false;
  #upload: Readable | undefined;
  #uploadDone: boolean;
  /** Upload bytes that have come, and those of them that the connection has taken. */
  #uploaded = 0;
  #taken = 0;
  #controller: Dispatcher.DispatchController | undefined;
  #head: { code: number; reason: string; headers: string[] } | undefined;
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #flushScheduled = false;
  #headSent = false;
  #received = 0;
  #redirects = 0;
  #isOver = false;
  #paused = false;

  constructor(engine: Engine, session: Session, first: Packet) {
    this.#engine = engine;
    this.session = session;
    this.#request = first;
    this.#uploadDone = !first.more;
  }

  start(): void {
    const { session } = this;
    this.#plan = this.#request.method === "" ? undefined : planRequest(this.#request);
    if (this.#plan === undefined || /^wss?:/.test(this.#request.uri)) {
      this.#fail("bad-request");
      return;
    }
    if (this.#request.more) {
      session.acknowledge(INITIAL_CREDITS);
      this.#upload = new Readable({
        read: () => this.#grantTaken(),
        highWaterMark: UPLOAD_BUFFER_BYTES,
      });
      // What came with the first packet was not credited.
      if (this.#request.body.length > 0) this.#upload.push(toBuffer(this.#request.body));
      this.#uploaded = this.#taken = this.#request.body.length;
      if (this.#request.timeoutMs !== undefined)
        this.#engine.clock.setTimer(this.#request.timeoutMs, () => this.#fail("session-timeout"));
    } else if (!this.#request.batch) session.acknowledge();
    this.#dispatch();
  }

  #dispatch(isRepeated = false): void {
    const plan = this.#plan as RequestPlan;
    const { pool } = this.#engine;
    const { client, mayHaveTimedOut } = isRepeated
      ? { client: pool.open(plan, this.#request), mayHaveTimedOut: false }
      : pool.take(plan, this.#request);
    this.#client = client;
    this.#mayHaveTimedOut = mayHaveTimedOut;
    const { method } = this.#request;
    const body =
      this.#upload ?? (this.#request.body.length > 0 ? toBuffer(this.#request.body) : null);
    const needsLength =
      body === null &&
      method !== "GET" &&
      method !== "HEAD" &&
      method !== "OPTIONS" &&
      method !== "DELETE";
    try {
      client.dispatch(
        {
          path: plan.path,
          method: method as Dispatcher.HttpMethod,
          headers:
            needsLength && !plan.headers.some((one) => one.toLowerCase() === "content-length")
              ? [...plan.headers, "Content-Length", "0"]
              : plan.headers,
          body,
          blocking: false,
        },
        this,
      );
    } catch {
      this.#fail("bad-request");
    }
  }

  /** A packet of the proxy after the first. */
  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    switch (this.session.receive(packet, seq, nowMs)) {
      case "data":
        if (this.#upload === undefined || this.#uploadDone) break;
        if (packet.body.length > 0) {
          this.#uploaded += packet.body.length;
          this.#upload.push(toBuffer(packet.body));
          this.#grantTaken();
        }
        if (!packet.more) {
          this.#uploadDone = true;
          this.#upload.push(null);
        }
        break;
      case "credit":
        this.#regulate();
        break;
      case "cancel":
      case "error":
      case "failed":
        this.abandon();
        return;
      default:
    }
    this.#engine.pump(this);
    this.#regulate();
  }

  /** Upload bytes are credited as the connection takes them: a slow backend slows the client. */
  #grantTaken(): void {
    const upload = this.#upload;
    if (upload === undefined || this.#isOver) return;
    const taken = Math.max(this.#uploaded - upload.readableLength, this.#taken);
    const bytes = taken - this.#taken;
    if (bytes === 0) return;
    this.#taken = taken;
    this.session.grant(bytes);
    this.#engine.pump(this);
  }

  /** The session is over for reasons of the proxy: the backend connection goes too. */
  abandon(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#engine.close(this);
    this.#controller?.abort(new Error("given up by the proxy"));
    void this.#client?.destroy();
    this.#upload?.destroy();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isOver) controller.abort(new Error("given up by the proxy"));
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    code: number,
    _headers: unknown,
    reason?: string,
  ): void {
    if (code < 200 || this.#isOver) return; // interim responses are ours alone
    const raw = (controller as unknown as { rawHeaders?: (Buffer | string)[] }).rawHeaders ?? [];
    const headers = raw.map((one) => (typeof one === "string" ? one : one.toString("latin1")));
    this.#head = { code, reason: detach(reason ?? ""), headers };
    this.#scheduleFlush();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isOver) return;
    this.#controller = controller;
    this.#received += chunk.length;
    if (this.#request.maxSize !== undefined && this.#received > this.#request.maxSize) {
      this.#fail("max-size-exceeded");
      return;
    }
    this.#pieces.push(chunk);
    this.#pieceBytes += chunk.length;
    this.#scheduleFlush();
    this.#regulate();
  }

  onResponseEnd(): void {
    if (this.#isOver) return;
    if (this.#redirect()) return;
    const client = this.#client as Client;
    // A backend that answers early may not have read the request: that connection is of no more use.
    if (this.#uploadDone && (this.#upload === undefined || this.#upload.readableEnded))
      this.#engine.pool.giveBack(
        (this.#plan as RequestPlan).origin,
        client,
        this.#engine.clock.nowMs(),
      );
    else void client.destroy();
    this.#isOver = true;
    this.#deliver(false);
    this.#engine.pump(this);
    this.#engine.finishWhenSent(this);
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.#isOver) return;
    const repeatable =
      this.#mayHaveTimedOut &&
      this.#head === undefined &&
      this.#upload === undefined &&
      SAFE_TO_REPEAT.has(this.#request.method);
    const code = (error as { code?: string }).code;
    if (repeatable && (code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE")) {
      void this.#client?.destroy();
      this.#dispatch(true);
      return;
    }
    this.#engine.log.debug("backend request failed", {
      uri: this.#request.uri,
      error: error.message,
      code,
    });
    this.#fail(this.#head === undefined ? conditionOf(error) : "undefined-condition");
  }

  #redirect(): boolean {
    const head = this.#head;
    if (
      head === undefined ||
      !this.#request.followRedirects ||
      this.#upload !== undefined ||
      ![301, 302, 303, 307, 308].includes(head.code)
    )
      return false;
    const at = head.headers.findIndex((one, i) => i % 2 === 0 && one.toLowerCase() === "location");
    const location = at < 0 ? undefined : head.headers[at + 1];
    if (location === undefined || !URL.canParse(location, this.#request.uri)) return false;
    this.#redirects += 1;
    if (this.#redirects > REDIRECTS_MAX) {
      this.#fail("too-many-redirects");
      return true;
    }
    const request = Object.assign(new Packet(), this.#request);
    request.uri = new URL(location, this.#request.uri).href;
    request.connectHost = "";
    request.connectPort = 0;
    if (
      head.code <= 303 &&
      request.method !== "HEAD" &&
      !(head.code !== 303 && request.method === "GET")
    ) {
      request.method = "GET";
      request.body = "";
      request.headers = (request.headers ?? []).filter(
        (_, i, all) => !/^content-(length|type)$/i.test(all[i - (i % 2)] as string),
      );
    }
    const plan = planRequest(request);
    if (plan === undefined) return false;
    this.#engine.pool.giveBack(
      (this.#plan as RequestPlan).origin,
      this.#client as Client,
      this.#engine.clock.nowMs(),
    );
    this.#request = request;
    this.#plan = plan;
    this.#head = undefined;
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#dispatch();
    return true;
  }

  /** A response that is complete within one parser call goes out whole; others at the end of the turn. */
  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      if (this.#isOver || this.#head === undefined) return;
      if (this.#request.followRedirects && this.#head.code >= 300 && this.#head.code < 400) return;
      this.#deliver(true);
      this.#engine.pump(this);
      this.#regulate();
    });
  }

  #deliver(more: boolean): void {
    const body = concatBytes(this.#pieces.length === 0 ? [""] : this.#pieces);
    this.#pieces = [];
    this.#pieceBytes = 0;
    if (this.#headSent) {
      if (body.length > 0 || !more) this.session.write(body, more);
      return;
    }
    this.#headSent = true;
    this.session.respond(
      this.#head as { code: number; reason: string; headers: string[] },
      body,
      more,
    );
  }

  /** Reads from the backend only what the session can soon send. */
  #regulate(): void {
    const waiting = this.session.queuedBytes + this.#pieceBytes;
    if (!this.#paused && waiting > INITIAL_CREDITS) {
      this.#paused = true;
      this.#controller?.pause();
    } else if (this.#paused && waiting < INITIAL_CREDITS / 2) {
      this.#paused = false;
      this.#controller?.resume();
    }
  }

  #fail(condition: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // After the head only a cancel is understood by all: the client must see an aborted response.
    if (this.#headSent) {
      if (this.#pieces.length > 0) this.#deliver(true);
      this.#engine.pump(this);
      this.session.cancel();
    } else this.session.fail(condition);
    this.#engine.pump(this);
    this.#engine.close(this);
    this.#controller?.abort(new Error(condition));
    void this.#client?.destroy();
    this.#upload?.destroy();
  }
}
