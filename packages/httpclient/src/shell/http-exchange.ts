import type { Timer } from "@pushpin/clock";
import { getHeader, isIdempotent } from "@pushpin/http";
import { type Bytes, concatBytes, fromUtf8, toBuffer } from "@pushpin/tnetstrings";
import { INITIAL_CREDITS, type Packet, type Session } from "@pushpin/zhttp";
import {
  type Condition,
  conditionOf,
  isHangUp,
  isUnsent,
  NotProcessedError,
} from "../core/condition.ts";
import { REDIRECTS_MAX, redirectedRequest } from "../core/redirect.ts";
import { planRequest, type RequestPlan } from "../core/request-plan.ts";
import { type Connection, FIELDS_MAX, type ResponseHandler } from "./connection.ts";
import type { Engine, Exchange } from "./engine.ts";
import { UploadBody } from "./upload-body.ts";

/** Limit: body of a response that redirects. Unit: bytes; above, its connection is given up. */
const REDIRECT_BODY_MAX_BYTES = 65_536;
/** Limit: repeats of a request that a backend has not begun with; then it fails. Unit: repeats. */
const REPEATS_MAX = 2;
/** What came in one turn is joined up to this; longer bodies go on as they came, piece by piece. Unit: bytes. */
const JOINED_MAX_BYTES = 16_384;
const TRUNCATED: Condition = "undefined-condition";

interface Head {
  readonly code: number;
  readonly reason: string;
  readonly headers: string[];
}

/**
 * One request to a backend and its response, on one ZHTTP session. It is the handler of undici
 * itself: nothing is allocated between the two but the head and the pieces of the body.
 */
export class HttpExchange implements Exchange, ResponseHandler {
  readonly session: Session;
  readonly key: string;
  readonly userData: string | undefined;
  keepAliveSlot?: number;
  isTouched = false;
  isInLine = false;
  older: Exchange | undefined;
  newer: Exchange | undefined;
  readonly startedMs: number;
  progressMs: number;
  readonly #engine: Engine;
  #request: Packet;
  #plan: RequestPlan | undefined;
  #connection: Connection | undefined;
  #repeats = 0;
  #upload: UploadBody | undefined;
  /** Bytes of it that the backend has taken, and the proxy does not know of yet. */
  #ungranted = 0;
  #abort: ((error: Error) => void) | undefined;
  #resume: (() => void) | undefined;
  #head: Head | undefined;
  #headSent = false;
  /** Of the body, what the session has not been given yet. */
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #received = 0;
  #paused = false;
  /** Where the response leads that is being read. */
  #redirect: Packet | undefined;
  #redirects = 0;
  #timer: Timer | undefined;
  /** Nothing more comes from the backend; the session may still have to send. */
  #isOver = false;
  /** Said when everything before it has been sent. */
  #failure: Condition | undefined;

  constructor(engine: Engine, session: Session, key: string, first: Packet) {
    this.#engine = engine;
    this.session = session;
    this.key = key;
    this.#request = first;
    this.userData = first.userData;
    this.startedMs = engine.nowMs;
    this.progressMs = this.startedMs;
  }

  start(): void {
    const request = this.#request;
    this.#plan = planRequest(request);
    if (this.#plan === undefined) {
      this.#fail("bad-request");
      return;
    }
    if (request.more) {
      this.session.acknowledge(INITIAL_CREDITS);
      this.#upload = new UploadBody(request.body, this.#onTaken);
    } else if (!request.batch) this.session.acknowledge();
    else this.#engine.acknowledgeSoon(this);
    if (request.timeoutMs !== undefined)
      this.#timer = this.#engine.clock.setTimer(request.timeoutMs, () => this.timeOut());
    this.#dispatch();
  }

  timeOut(): void {
    if (!this.#isOver) this.#fail(this.#head === undefined ? "session-timeout" : TRUNCATED);
  }

  /** A packet of the proxy after the first. */
  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    switch (this.session.receive(packet, seq, nowMs)) {
      case "data":
        this.progressMs = nowMs;
        this.#upload?.add(packet.body, packet.more);
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
    this.#failWhenSent();
    this.#regulate();
  }

  /** The session is over for reasons of the proxy: the backend connection goes too. */
  abandon(): void {
    this.#engine.forget(this);
    if (this.#isOver) return;
    this.#isOver = true;
    this.#drop("given up by the proxy");
  }

  /** What has come in this turn of the event loop goes out. */
  flush(): void {
    if (this.#isOver || this.#head === undefined || this.#redirect !== undefined) return;
    this.#deliver(true);
    this.#engine.pump(this);
    this.#regulate();
  }

  // What the connection calls

  onConnect(abort: (error?: Error) => void): void {
    this.#abort = abort;
    if (this.#isOver) abort(new Error("given up by the proxy"));
  }

  onHeaders(
    code: number,
    raw: readonly (Buffer | string)[],
    resume: () => void,
    reason: string,
  ): boolean {
    if (this.#isOver || code < 200) return true;
    if (raw.length > 2 * FIELDS_MAX) {
      this.#fail("undefined-condition"); // Limit: FIELDS_MAX
      return true;
    }
    const headers: string[] = new Array(raw.length);
    for (let i = 0; i < raw.length; i += 1) {
      const text = raw[i] as Buffer | string;
      headers[i] = typeof text === "string" ? text : text.toString("latin1");
    }
    this.#head = { code, reason: fromUtf8(reason), headers };
    this.#resume = resume;
    if (this.#request.followRedirects && this.#upload === undefined)
      this.#redirect = redirectedRequest(this.#request, code, headers);
    if (this.#redirect !== undefined) return true;
    // undici waits for the length that a 304 names, which is that of a body it does not have.
    if (code === 304 && Number(getHeader(headers, "content-length") ?? 0) > 0) {
      this.#isOver = true;
      this.#deliver(false);
      this.#engine.pump(this);
      this.#drop("complete");
    } else this.#engine.touch(this);
    return true;
  }

  onData(chunk: Buffer): boolean {
    if (this.#isOver) return true;
    this.progressMs = this.#engine.nowMs;
    this.#received += chunk.length;
    if (this.#redirect !== undefined) {
      if (this.#received > REDIRECT_BODY_MAX_BYTES) this.#follow(); // Limit: REDIRECT_BODY_MAX_BYTES
      return true;
    }
    const { maxSize } = this.#request;
    if (maxSize !== undefined && this.#received > maxSize) {
      this.#fail("max-size-exceeded");
      return true;
    }
    this.#pieces.push(chunk);
    this.#pieceBytes += chunk.length;
    this.#engine.touch(this);
    this.#paused = this.session.queuedBytes + this.#pieceBytes > INITIAL_CREDITS;
    return !this.#paused;
  }

  onComplete(): void {
    if (this.#isOver) return;
    const connection = this.#connection as Connection;
    if (connection.hasFailed) {
      // A reset in the place of the end of a response that has no other.
      this.#fail(TRUNCATED);
      return;
    }
    if (this.#redirect !== undefined) {
      this.#follow();
      return;
    }
    this.#isOver = true;
    this.#timer?.cancel();
    // A backend that answers early may not read the request: that connection is of no more use.
    if (this.#upload === undefined || this.#upload.readableEnded)
      this.#engine.pool.giveBack(this.#plan as RequestPlan, connection, this.#engine.nowMs);
    else this.#drop("answered early");
    this.#deliver(false);
    this.#engine.pump(this);
  }

  onError(error: Error): void {
    if (this.#isOver) return;
    if (this.#mayRepeat(error)) {
      this.#connection?.destroy();
      if (error instanceof NotProcessedError && error.needsHttp1)
        this.#engine.pool.avoidHttp2(this.#plan as RequestPlan);
      this.#repeats += 1;
      this.#dispatch();
      return;
    }
    const { log } = this.#engine;
    if (log.isDebug)
      log.debug("backend request failed", { uri: this.#request.uri, error: error.message });
    this.#fail(this.#head === undefined ? conditionOf(error) : TRUNCATED);
  }

  /** Whether the request may go out again without a risk of being carried out twice. */
  #mayRepeat(error: Error): boolean {
    if (this.#head !== undefined || this.#upload !== undefined) return false;
    if (this.#repeats >= REPEATS_MAX) return false; // Limit: REPEATS_MAX
    if (isUnsent(error, this.#requestBytes)) return true;
    return (
      this.#repeats === 0 &&
      this.#connection?.isReused === true &&
      isHangUp(error) &&
      isIdempotent(this.#request.method)
    );
  }

  get #requestBytes(): number {
    const { path, headers } = this.#plan as RequestPlan;
    let bytes = 100 + path.length + this.#request.body.length;
    for (const text of headers) bytes += text.length + 2;
    return bytes;
  }

  #dispatch(): void {
    const { pool, nowMs } = this.#engine;
    const plan = this.#plan as RequestPlan;
    const connection =
      this.#repeats > 0
        ? pool.open(plan, this.#request, nowMs)
        : pool.take(plan, this.#request, nowMs);
    this.#connection = connection;
    const isSafe = this.#upload === undefined && isIdempotent(this.#request.method);
    if (isSafe || !connection.isReused) this.#send(connection);
    // What could not be repeated waits until a close that has already come is known.
    else setImmediate(() => this.#sendIfUsable(connection));
  }

  #sendIfUsable(connection: Connection): void {
    if (this.#isOver) return;
    if (!connection.isUsable) {
      connection.destroy();
      const { pool, nowMs } = this.#engine;
      this.#connection = pool.open(this.#plan as RequestPlan, this.#request, nowMs);
    }
    this.#send(this.#connection as Connection);
  }

  #send(connection: Connection): void {
    const { method, body } = this.#request;
    const { path, headers } = this.#plan as RequestPlan;
    connection.dispatch(
      {
        method,
        path,
        headers,
        body: this.#upload ?? (body.length > 0 ? toBuffer(body) : null),
      },
      this,
    );
  }

  #follow(): void {
    const next = this.#redirect as Packet;
    const plan = planRequest(next);
    this.#redirects += 1;
    if (plan === undefined || this.#redirects > REDIRECTS_MAX) {
      // Limit: REDIRECTS_MAX
      this.#fail(plan === undefined ? "bad-request" : "too-many-redirects");
      return;
    }
    const { pool } = this.#engine;
    const left = this.#connection as Connection;
    if (this.#received > REDIRECT_BODY_MAX_BYTES) {
      this.#isOver = true; // what the abort says of this request is not for the next one
      this.#abort?.(new Error("redirected"));
      left.destroy();
      this.#isOver = false;
    } else pool.giveBack(this.#plan as RequestPlan, left, this.#engine.nowMs);
    this.#connection = undefined;
    this.#abort = undefined;
    this.#request = next;
    this.#plan = plan;
    this.#head = undefined;
    this.#redirect = undefined;
    this.#received = 0;
    // Not from within the parser of the connection that is left.
    setImmediate(() => {
      if (!this.#isOver) this.#dispatch();
    });
  }

  readonly #onTaken = (bytes: number): void => {
    if (this.#isOver) return;
    this.progressMs = this.#engine.nowMs;
    this.#ungranted += bytes;
    // In halves of what was granted first, so that small pieces cost no packet each.
    if (this.session.inCredits > INITIAL_CREDITS / 2) return;
    this.session.grant(this.#ungranted);
    this.#ungranted = 0;
    this.#engine.pump(this);
  };

  #deliver(more: boolean): void {
    const pieces = this.#pieces;
    const isSmall = this.#pieceBytes <= JOINED_MAX_BYTES;
    if (pieces.length > 0) this.#pieces = [];
    this.#pieceBytes = 0;
    if (pieces.length <= 1 || isSmall) {
      this.#give(pieces.length === 0 ? "" : concatBytes(pieces), more);
      return;
    }
    // A packet more costs less than a copy.
    const last = pieces.length - 1;
    for (let i = 0; i <= last; i += 1) this.#give(pieces[i] as Buffer, more || i < last);
  }

  #give(body: Bytes, more: boolean): void {
    if (!this.#headSent) {
      this.#headSent = true;
      this.session.respond(this.#head as Head, body, more);
    } else if (body.length > 0 || !more) this.session.write(body, more);
  }

  /** Reads from the backend only what the session can soon send. Never within undici's parser. */
  #regulate(): void {
    if (!this.#paused || this.#isOver) return;
    if (this.session.queuedBytes + this.#pieceBytes >= INITIAL_CREDITS / 2) return;
    this.#paused = false;
    this.#resume?.();
  }

  #fail(condition: Condition): void {
    this.#isOver = true;
    this.#failure = condition;
    if (this.#head !== undefined && this.#redirect === undefined) this.#deliver(true);
    this.#engine.pump(this);
    this.#drop(condition);
    this.#failWhenSent();
  }

  /** What the backend did send comes before the word that it was not all. */
  #failWhenSent(): void {
    if (this.#failure === undefined || this.session.queuedBytes > 0) return;
    this.session.fail(this.#failure);
    this.#failure = undefined;
    this.#engine.pump(this);
  }

  #drop(why: string): void {
    this.#timer?.cancel();
    this.#abort?.(new Error(why));
    this.#connection?.destroy();
    this.#upload?.destroy();
  }
}
