import { type Bytes, detach } from "@pushpin/tnetstrings";
import { ANCHOR_MAX_BYTES, type IdEntry, Packet } from "./packet.ts";
import {
  readReclaimed,
  reclaimedPacket,
  reclaimPacket,
  type ResumeOptions,
  resumePacket,
} from "./resume.ts";
import { RetainedInput } from "./retained-input.ts";
import { RetainedStream } from "./retained-stream.ts";
import { SendQueue } from "./send-queue.ts";

export type Role = "initiator" | "responder";
export type Kind = "http" | "websocket";

/** A session without any packet from the peer ends after this. */
export const SESSION_EXPIRE_MS = 60_000;
/**
 * Condition of our own making: whoever had the session is gone, and its successor knows nothing of
 * it. Never on the wire.
 */
export const PEER_RESTARTED = "peer-restarted";
/** Limit: former owners of a session whose marks are kept; the oldest is forgotten. */
const MARKS_MAX = 8;
/** How much longer the client's end waits for the owner of a session that somebody can go on with. */
export const TAKEOVER_TIMEOUT_MS = 60_000;
/**
 * Body bytes of a request that a proxy of ours reads, or all of them, before it gives anything of it to
 * anybody: whoever has sent less knows that no backend has seen the request. Unit: bytes.
 */
export const PREFETCH_BYTES = 10_000;
/** Body bytes a proxy, handler or HTTP client grants at the start. */
export const INITIAL_CREDITS = 200_000;
/**
 * Limit: body bytes a peer may send beyond its credits before the session fails. The original
 * sends up to its first 200,000 bytes of a request uncredited, and loses credits for pings.
 */
export const OVERRUN_MAX_BYTES = 1_000_000;

//   responder: open ──handoffStart()──▶ awaiting-proceed ──handoff-proceed──▶ released ──resume()──▶ open
//   initiator: open ──handoff-start──▶ handoff-requested ──handoffProceed()──▶ paused ──any packet──▶ open
export type SessionState =
  | "open"
  | "awaiting-proceed"
  | "handoff-requested"
  | "paused"
  | "released"
  | "ended";

/** What one received packet means to the owner of the session. */
export type Received =
  | "ignored"
  | "data"
  | "credit"
  | "keep-alive"
  | "close"
  | "ping"
  | "pong"
  | "handoff-start"
  | "handoff-proceed"
  | "resume"
  | "cancel"
  | "error"
  | "failed";

export interface ResponseHead {
  readonly code: number;
  readonly reason: string;
  readonly headers: string[];
}

export interface SessionOptions {
  readonly role: Role;
  readonly kind: Kind;
  /** Own instance id. */
  readonly from: string;
  readonly id: string;
  readonly nowMs: number;
  /** Body bytes granted to the peer at the start. */
  readonly credits: number;
  /** Instance id of the peer, where it is known from the start (responder). */
  readonly peer?: string;
  /** Accept follow-ups without `seq`; default: all but WebSocket responders, as the original does. */
  readonly lenientSeq?: boolean;
  /** Tell the peer that it may answer over the ROUTER link. */
  readonly offerRouter?: boolean;
  /** Initiator: of its first packet (`InitiatorSockets.epoch`). */
  readonly epoch?: number;
}

/**
 * One ZHTTP or ZWS session, either end of it: sequence numbers, credits, expiry, cancel, error and
 * handoff (wire.md section 4). It is told packets and the time, and hands out what to send by
 * `takePacket`, in order and never beyond the peer's credits.
 */
export class Session {
  readonly role: Role;
  readonly kind: Kind;
  readonly from: string;
  readonly id: string;
  epoch: number;
  /** Where follow-ups go; empty for an initiator until the first answer. Follows the newest packet. */
  peer: string;
  /** The peer takes packets with id lists for this session. */
  multi = false;
  /** The peer takes `B` frames. */
  batch = false;
  /** The initiator takes answers over the ROUTER link. */
  routerResp = false;
  state: SessionState = "open";
  /** Why the session failed; set with the result `failed`. */
  failure = "";
  outCredits = 0;
  inCredits: number;
  inSeq = 0;
  outSeq = 0;
  expiresAtMs: number;
  /** HTTP: the peer's body is complete. WebSocket: the peer has sent its close. */
  peerDone = false;
  /** HTTP: our body is complete. WebSocket: our close has been sent. */
  selfDone = false;
  /**
   * What a successor of the session's owner needs. Initiator: the newest the owner has sent;
   * responder: what the next packet carries.
   */
  anchor: string | undefined;
  /**
   * WebSocket with a connection of its own to the backend, which somebody else can go on with to the
   * byte. Client's end: how far it has the backend's messages, by `Packet.at`; the other ends: set.
   */
  at: number | undefined;
  /** WebSocket: position of what has been received, and of what has been sent (`extentOf`). */
  inPos = 0;
  outPos = 0;
  /** Body bytes sent. */
  #outBytes = 0;
  /** Body bytes the peer takes beyond those it has credited, and those it has credited so far. */
  #window = 0;
  #creditedBytes = 0;
  readonly #lenientSeq: boolean;
  readonly #offerRouter: boolean;
  #retained: RetainedInput | undefined;
  #stream: RetainedStream | undefined;
  /** Responder: what it has sent is kept for a successor of the initiator. */
  #keepsOutput = false;
  /** WebSocket: our close, for a successor of an owner that may not have heard it. */
  #sentClose: Packet | undefined;
  /** Former owners and their marks, the last ones; empty as long as there was none. */
  #marks = "";
  /** The first packet after a takeover may skip one number: old connection managers keep alive during a handoff. */
  #mayskipOne = false;
  #queue: SendQueue | undefined;

  constructor(options: SessionOptions) {
    this.role = options.role;
    this.kind = options.kind;
    this.from = options.from;
    this.id = options.id;
    this.epoch = options.epoch ?? 0;
    this.peer = options.peer ?? "";
    this.inCredits = options.credits;
    this.expiresAtMs = options.nowMs + SESSION_EXPIRE_MS;
    this.#lenientSeq =
      options.lenientSeq ?? !(options.role === "responder" && options.kind === "websocket");
    this.#offerRouter = options.offerRouter ?? false;
  }

  /** A responder that goes on with a session another owner has begun; it says so with a keep-alive. */
  static resume(options: ResumeOptions): Session {
    const session = new Session({
      role: "responder",
      kind: options.kind,
      from: options.from,
      id: options.id,
      nowMs: options.nowMs,
      credits: options.inCredits ?? 0,
      peer: options.peer,
      lenientSeq: true,
    });
    session.inSeq = options.inSeq;
    session.outSeq = options.outSeq;
    session.outCredits = options.outCredits;
    session.#window = options.outCredits;
    session.#creditedBytes = options.outCredits;
    session.multi = options.multi ?? true;
    session.routerResp = options.routerResp ?? false;
    session.#mayskipOne = true;
    session.peerDone = options.kind === "http";
    session.keepAlive();
    return session;
  }

  /**
   * Responder: the initiator of `former` is gone, and `id` of `peer` takes the place of its session.
   * `at`: all that was sent up to there has arrived. The first packet says where both streams stand.
   * Undefined if something that is needed was not kept. `former` is over.
   */
  static reopen(
    former: Session,
    next: { peer: string; id: string; nowMs: number; credits: number; at: number; inSeq: number },
  ): Session | undefined {
    const kept = former.#stream;
    const pieces = kept === undefined ? [] : kept.take(next.at);
    if (pieces === undefined || former.ended) return undefined;
    const session = new Session({
      role: "responder",
      kind: "websocket",
      from: former.from,
      id: next.id,
      nowMs: next.nowMs,
      credits: former.inCredits,
      peer: next.peer,
      lenientSeq: true,
    });
    session.inSeq = next.inSeq;
    session.outCredits = next.credits;
    session.#window = next.credits;
    session.#creditedBytes = next.credits;
    session.batch = true;
    session.multi = true;
    session.at = former.at;
    session.inPos = former.inPos;
    session.outPos = kept === undefined ? former.outPos : Math.min(kept.start, former.outPos);
    session.peerDone = former.peerDone;
    session.#stream = kept;
    session.keepOutput();
    const queue = former.#queue ?? new SendQueue();
    session.#queue = queue;
    queue.dropUrgent();
    queue.addBackStream(pieces);
    const packet = reclaimedPacket({
      start: session.outPos,
      isMid: kept?.isMid ?? false,
      window: INITIAL_CREDITS,
      isClosed: former.peerDone,
      received: former.inPos,
    });
    packet.credits = Math.max(former.inCredits, 0);
    queue.addFirst(packet);
    const close = former.#sentClose;
    if (close !== undefined) queue.addClose(close.code, close.body);
    former.forget();
    return session;
  }

  get ended(): boolean {
    return this.state === "ended";
  }

  /** Whether the peer has been silent for too long. */
  isExpired(nowMs: number): boolean {
    const mayReturn =
      this.role === "initiator" ? this.anchor !== undefined : this.#keepsOutput;
    return nowMs >= this.expiresAtMs + (mayReturn ? TAKEOVER_TIMEOUT_MS : 0);
  }

  /** Initiator: bytes that a successor of the owner would get. */
  get keptBytes(): number {
    return (
      (this.anchor?.length ?? 0) + (this.#retained?.bytes ?? 0) + (this.#stream?.bytes ?? 0)
    );
  }

  /** Body bytes that wait for credits. */
  get queuedBytes(): number {
    return this.#queue?.bodyBytes ?? 0;
  }

  /** Body bytes sent or waiting to be. */
  get submittedBytes(): number {
    return this.#outBytes + this.queuedBytes;
  }

  /** Of these, how many the peer has credited: it has got so far. */
  get confirmedBytes(): number {
    return this.#creditedBytes - this.#window;
  }

  /** Whether anything, also a packet without a body, still waits to be sent. */
  get hasQueued(): boolean {
    return this.#queue !== undefined && !this.#queue.isEmpty;
  }

  /**
   * Takes one packet of the peer; `seq` is the packet's or the id-list entry's. Never throws.
   * After `failed`, `error` and `cancel` the session is over; a queued cancel may be left to send.
   */
  receive(packet: Packet, seq: number | undefined, nowMs: number): Received {
    if (this.state === "ended" || this.state === "released") return "ignored";
    if (packet.type === "error" || packet.type === "cancel") {
      this.#end();
      return packet.type;
    }
    if (seq !== undefined) {
      if (seq !== this.inSeq) {
        if (!(this.#mayskipOne && seq === this.inSeq + 1)) return this.#fail("undefined-condition");
        this.inSeq = seq;
      }
      this.inSeq += 1;
    } else if (!this.#lenientSeq || this.#isFirstToResponder()) {
      return this.#fail("undefined-condition");
    }
    this.#mayskipOne = false;
    this.expiresAtMs = nowMs + SESSION_EXPIRE_MS;
    if (packet.multi) this.multi = true;
    if (packet.batch) this.batch = true;
    if (packet.routerResp) this.routerResp = true;
    // The owner of a session is whoever sent the newest packet: so a session changes hands.
    if (packet.from !== "" && packet.from !== this.peer) {
      this.peer = packet.from;
      if (this.role === "initiator") this.anchor = undefined; // it was the former owner's
    }
    if (packet.anchor !== undefined && this.role === "initiator")
      this.anchor = packet.anchor === "" ? undefined : detach(packet.anchor);
    if (packet.at !== undefined && this.role === "initiator") this.at = packet.at;
    if (this.state === "paused") this.state = "open";
    return this.#dispatch(packet);
  }

  #isFirstToResponder(): boolean {
    return this.role === "responder" && this.kind === "websocket" && this.inSeq === 0;
  }

  #dispatch(packet: Packet): Received {
    switch (packet.type) {
      case "data":
        this.#credited(packet.credits);
        if (!this.#takeInCredits(packet.body.length)) return this.#fail("undefined-condition");
        if (this.kind === "websocket") this.inPos += extentIn(packet);
        if (this.kind === "http" && !packet.more) this.#peerIsDone();
        return "data";
      case "credit":
        this.#credited(packet.credits);
        return "credit";
      case "keep-alive":
        return "keep-alive";
      case "ping":
      case "pong":
        if (this.kind === "http") return "ignored";
        this.#credited(packet.credits);
        if (!this.#takeInCredits(packet.body.length)) return this.#fail("undefined-condition");
        this.inPos += packet.body.length + 1;
        return packet.type;
      case "close":
        if (this.kind === "http") return "ignored";
        this.peerDone = true;
        if (this.selfDone) this.#end();
        return "close";
      case "handoff-start":
        if (this.role === "responder" || this.state !== "open") return "ignored";
        this.state = "handoff-requested";
        return "handoff-start";
      case "handoff-proceed":
        if (this.state !== "awaiting-proceed") return "ignored";
        this.state = "released";
        return "handoff-proceed";
      case "resume": {
        const reclaimed = this.role === "initiator" ? readReclaimed(packet) : undefined;
        if (reclaimed === undefined) return "ignored";
        this.outCredits += packet.credits;
        // What the keeper has and has not credited yet counts as sent by us.
        this.#window = reclaimed.window;
        this.#creditedBytes = packet.credits;
        this.inPos = reclaimed.start;
        return "resume";
      }
      default:
        return "ignored"; // error and cancel were taken above
    }
  }

  #takeInCredits(bytes: number): boolean {
    this.inCredits -= bytes;
    return this.inCredits >= -OVERRUN_MAX_BYTES; // Limit: OVERRUN_MAX_BYTES
  }

  #peerIsDone(): void {
    this.peerDone = true;
    // A response ends the exchange, whatever is outstanding of the request.
    if (this.role === "initiator") this.#end();
    else if (this.selfDone) this.#end();
  }

  /** Initiator: the first packet, goes to any server. `first` holds method, uri, headers, body, more. */
  open(first: Packet): void {
    first.from = this.from;
    first.id = this.id;
    first.credits = this.inCredits;
    first.multi = true;
    first.batch = true;
    first.routerResp = this.#offerRouter;
    first.stream = this.kind === "http";
    this.#urgent(first);
    if (this.kind === "http" && !first.more) this.selfDone = true;
  }

  /** Initiator: it was made a while before it is opened. */
  openLater(epoch: number, nowMs: number): void {
    this.epoch = epoch;
    this.expiresAtMs = nowMs + SESSION_EXPIRE_MS;
  }

  /**
   * Initiator: instead of `open`, goes on with a WebSocket that `keeper` holds for an initiator that is
   * gone; `ref` is its name there, and all that came up to `at` has been passed on.
   */
  reclaim(keeper: string, ref: string, at: number): void {
    this.peer = keeper;
    const packet = reclaimPacket(ref, at);
    packet.credits = this.inCredits;
    this.#urgent(packet);
  }

  /** Responder, WebSocket: from now on what is sent is kept until it is credited, for `reopen`. */
  keepOutput(): void {
    this.#keepsOutput = true;
    this.at ??= 0;
  }

  /** Responder, HTTP: says that the request has arrived; with `credits` that its body may come. */
  acknowledge(credits = 0): void {
    if (credits > 0) this.grant(credits);
    else this.keepAlive();
  }

  /** Responder: response head, and as much of the body as is there. Also the 101 of a WebSocket. */
  respond(head: ResponseHead, body: Bytes, more: boolean): void {
    const packet = new Packet();
    packet.code = head.code;
    packet.reason = head.reason;
    packet.headers = head.headers;
    if (this.kind === "websocket") {
      packet.credits = this.inCredits;
      packet.at = this.at;
      this.#urgent(packet);
      return;
    }
    this.#waiting().addHead(packet, body, more);
  }

  /** HTTP body, in order; `more` false ends it. */
  write(body: Bytes, more: boolean): void {
    this.#waiting().addData("", body, more);
  }

  /** A WebSocket message or a fragment of one; `at` as in `Packet.at`. */
  message(contentType: "text" | "binary" | "", body: Bytes, more: boolean, at?: number): void {
    this.#waiting().addData(contentType, body, more, at);
  }

  ping(body: Bytes, at?: number): void {
    this.#waiting().addControl("ping", body, at);
  }

  pong(body: Bytes, at?: number): void {
    this.#waiting().addControl("pong", body, at);
  }

  /** WebSocket close, behind everything queued; `code` undefined is a close without a code. */
  close(code: number | undefined, reason: Bytes): void {
    this.#waiting().addClose(code, reason);
  }

  /** The application has taken `bytes` of the peer's body: it may send as many more. */
  grant(bytes: number): void {
    if (bytes <= 0 || this.state === "ended") return;
    this.inCredits += bytes;
    this.#waiting().addCredits(bytes);
  }

  keepAlive(): void {
    const packet = new Packet();
    packet.type = "keep-alive";
    this.#urgent(packet);
  }

  /** Takes the keep-alive of a session that goes on off its queue, for a packet to many; undefined if more waits. */
  takeGreeting(): IdEntry | undefined {
    if (!this.multi || this.anchor !== undefined || !this.maySend) return undefined;
    if (this.#queue?.isLoneKeepAlive !== true) return undefined;
    this.#queue = undefined;
    return { id: this.id, seq: this.nextOutSeq() };
  }

  /** Responder: asks to give the session away; the send queue must be empty by then. */
  handoffStart(): void {
    const packet = new Packet();
    packet.type = "handoff-start";
    this.#waiting().addLast(packet);
  }

  /** Initiator: agrees; from here on it is silent until a packet arrives. */
  handoffProceed(): void {
    if (this.state !== "handoff-requested") return;
    const packet = new Packet();
    packet.type = "handoff-proceed";
    this.#waiting().addLast(packet);
  }

  /**
   * Responder: what a successor needs from now on; empty: nobody else can go on with this session.
   * Rides on the next packet. False if it is too long, and so nobody can.
   */
  setAnchor(anchor: string): boolean {
    const fits = anchor.length <= ANCHOR_MAX_BYTES; // Limit: ANCHOR_MAX_BYTES
    this.anchor = fits ? anchor : "";
    return fits;
  }

  /** Responder: an anchor that has no packet to ride on gets one. */
  sendAnchor(): void {
    if (this.anchor !== undefined && !this.hasQueued && this.maySend) this.keepAlive();
  }

  /**
   * Initiator: the owner is gone, `successor` takes its place. Queues the packet that tells it
   * everything, and behind it what was sent and not credited; `mark` is the former owner's last. Where
   * the client has left, that comes last, as its owner may not have heard of it. False if nobody can go on.
   */
  handTo(successor: string, mark = 0, hasLeft = false): boolean {
    const { anchor } = this;
    if (anchor === undefined || (this.state === "ended" && !hasLeft)) return false;
    const { at } = this;
    const stream = this.#stream;
    const streamed = stream === undefined ? [] : stream.take(0);
    if (streamed === undefined) return false;
    this.state = "open";
    const pieces = this.#retained?.take() ?? [];
    for (const { body } of [...pieces, ...streamed]) this.outCredits += body.length;
    this.outPos = stream?.start ?? this.outPos;
    const former = this.peer;
    this.peer = successor;
    const packet = resumePacket({
      kind: this.kind,
      anchor,
      marks: this.#noteMark(former, mark),
      next: this.inSeq,
      window: Math.max(this.outCredits, 0),
      routerResp: this.#offerRouter,
      point:
        at === undefined ? undefined : { at, sent: this.outPos, isMid: stream?.isMid ?? false },
    });
    packet.credits = Math.max(this.inCredits, 0);
    const queue = this.#waiting();
    queue.addBack(pieces);
    queue.addBackStream(streamed);
    queue.addFirst(packet);
    const close = this.#sentClose;
    if (close !== undefined) {
      this.#sentClose = undefined;
      this.selfDone = false;
      queue.addClose(close.code, close.body);
    }
    if (hasLeft) queue.addLast(cancelPacket());
    return true;
  }

  /** Owners that went without a word to others about this session still count: their marks go along. */
  #noteMark(former: string, mark: number): string {
    const entries = this.#marks === "" ? [] : this.#marks.split(",");
    entries.push(`${former} ${mark}`);
    this.#marks = entries.slice(-MARKS_MAX).join(","); // Limit: MARKS_MAX
    return this.#marks;
  }

  /** Gives the session up. */
  cancel(): void {
    if (this.state === "ended" || this.state === "released") return;
    this.#endWith(cancelPacket());
  }

  /** Ends the session and tells the peer why. */
  fail(condition: string): void {
    if (this.state === "ended" || this.state === "released") return;
    const packet = new Packet();
    packet.type = "error";
    packet.condition = condition;
    this.#endWith(packet);
  }

  /** Responder, WebSocket: refuses the handshake with a whole response. */
  reject(head: ResponseHead, body: Bytes): void {
    if (this.state === "ended" || this.state === "released") return;
    const packet = new Packet();
    packet.type = "error";
    packet.condition = "rejected";
    packet.code = head.code;
    packet.reason = head.reason;
    packet.headers = head.headers;
    packet.body = body;
    this.#endWith(packet);
  }

  /** Ends the session without telling anybody: expired, or given to another owner. */
  forget(): void {
    this.#queue = undefined;
    this.state = "ended";
  }

  /** A session whose handoff was refused goes on here. */
  takeBack(): void {
    if (this.state !== "released" && this.state !== "awaiting-proceed") return;
    this.state = "open";
    this.#mayskipOne = true;
    this.keepAlive();
  }

  /** Counts one packet that is built outside, as an entry of an id list. */
  nextOutSeq(): number {
    const seq = this.outSeq;
    this.outSeq += 1;
    return seq;
  }

  /** Takes credits for a body sent by an id list; false if there are not enough, or others wait. */
  takeOutCredits(bytes: number): boolean {
    if (this.outCredits < bytes || this.state !== "open" || this.hasQueued) return false;
    this.outCredits -= bytes;
    this.#outBytes += bytes;
    return true;
  }

  /** Responder, HTTP: the id list it was added to last carries the whole response. */
  answeredByList(): void {
    this.#selfIsDone();
  }

  /** Whether a keep-alive may be sent now. */
  get maySend(): boolean {
    if (this.state === "ended" || this.state === "paused" || this.state === "released")
      return false;
    return this.state !== "awaiting-proceed" && (this.role === "responder" || this.peer !== "");
  }

  /** The next packet that may be sent now, or undefined. Goes to `peer`; an initiator's first to anybody. */
  takePacket(): Packet | undefined {
    const queue = this.#queue;
    if (queue === undefined) return undefined;
    if (this.role === "initiator" && this.peer === "" && this.outSeq > 0) {
      // Nobody to send to yet. If the session is over already, the peer will learn by expiry.
      return undefined;
    }
    if (this.state === "paused" || this.state === "released" || this.state === "awaiting-proceed")
      return undefined;
    const packet = queue.take(this.outCredits, this.kind);
    if (packet === undefined) return undefined;
    if (queue.isEmpty) this.#queue = undefined;
    const isBody = packet.type === "data" || packet.type === "ping" || packet.type === "pong";
    // The body of a request's first packet is sent uncredited.
    if (isBody && packet.uri === "") {
      this.outCredits -= packet.body.length;
      this.#outBytes += packet.body.length;
      if (this.kind === "websocket") this.#bodySent(packet);
    }
    if (this.anchor !== undefined && this.role === "responder") {
      packet.anchor = this.anchor;
      this.anchor = undefined;
    }
    packet.from = this.from;
    packet.id = this.id;
    packet.seq = this.outSeq;
    this.outSeq += 1;
    if (this.role === "initiator" || this.outSeq === 1 || packet.type === "keep-alive") {
      packet.multi = true;
      packet.batch ||= this.outSeq === 1 && (this.role === "initiator" || this.batch);
    }
    this.#sent(packet);
    return packet;
  }

  #bodySent(packet: Packet): void {
    if (packet.code !== undefined) return; // a handshake's answer
    const start = this.outPos;
    this.outPos = start + extentIn(packet);
    // Kept where the owner of the session can have a successor: it is one of ours.
    if (this.role === "responder" ? !this.#keepsOutput : this.anchor === undefined) return;
    if (this.at !== undefined) {
      this.#stream ??= new RetainedStream(start, false);
      const { type, contentType, body, more } = packet;
      this.#stream.add({ type: type as "data" | "ping" | "pong", contentType, body, more });
      return;
    }
    this.#retained ??= new RetainedInput();
    if (packet.type === "data") this.#retained.add(packet);
    else this.#retained.skip(packet.body.length);
  }

  #credited(bytes: number): void {
    if (bytes === 0) return;
    this.outCredits += bytes;
    if (this.#window === 0) this.#window = bytes;
    this.#creditedBytes += bytes;
    const stream = this.#stream;
    if (stream !== undefined) {
      stream.credited(bytes);
      if (stream.isEmpty) this.#stream = undefined;
    }
    const retained = this.#retained;
    if (retained === undefined) return;
    retained.credited(bytes);
    if (retained.isEmpty) this.#retained = undefined;
  }

  #sent(packet: Packet): void {
    switch (packet.type) {
      case "data":
        if (this.kind === "http" && !packet.more) this.#selfIsDone();
        return;
      case "close":
        this.selfDone = true;
        if (this.role === "initiator" || this.#keepsOutput) this.#sentClose = packet;
        if (this.peerDone) this.#end();
        return;
      case "handoff-start":
        this.state = "awaiting-proceed";
        return;
      case "handoff-proceed":
        this.state = "paused";
        return;
      default:
        return;
    }
  }

  #selfIsDone(): void {
    this.selfDone = true;
    // The first response packet without `more` ends the exchange, also when the upload is not over.
    if (this.role === "responder") this.#end();
  }

  #waiting(): SendQueue {
    this.#queue ??= new SendQueue();
    return this.#queue;
  }

  #urgent(packet: Packet): void {
    this.#waiting().addFirst(packet);
  }

  #fail(condition: string): Received {
    this.failure = condition;
    this.#endWith(cancelPacket());
    return "failed";
  }

  #endWith(packet: Packet): void {
    const wasOpened = this.role === "responder" || this.outSeq > 0;
    this.#queue = undefined;
    this.state = "ended";
    if (wasOpened) this.#waiting().addFirst(packet);
  }

  #end(): void {
    this.#queue = undefined;
    this.state = "ended";
  }
}

function cancelPacket(): Packet {
  const packet = new Packet();
  packet.type = "cancel";
  return packet;
}

/** As `extentOf`; a handshake and its answer have no place in the stream. */
function extentIn(packet: Packet): number {
  const { type, body, more } = packet;
  if (type !== "data") return body.length + 1;
  return packet.uri !== "" || packet.code !== undefined ? 0 : body.length + (more ? 0 : 1);
}
