import { type Bytes, concatBytes, detach } from "@pushpin/tnetstrings";
import { INITIAL_CREDITS, Packet, type ResponseHead } from "@pushpin/zhttp";
import { type BackendListener, HttpBackend } from "../relay/http-backend.ts";
import { addressPacket } from "../relay/http-relay.ts";
import type { RelayPorts } from "../relay/ports.ts";
import type { Target } from "../routes/route-table.ts";

/** Limit: body of one response. Unit: bytes; a larger one ends the connection. */
export const RESPONSE_MAX_BYTES = 1_000_000;

/** Exactly one of the two is called, once, and never before `start` has returned. */
export interface RequestListener {
  answered(head: ResponseHead, body: Bytes): void;
  /** `wasHandedOver`: the backend may have seen the request. */
  failed(condition: string, wasHandedOver: boolean): void;
}

/** One POST to the backend and its whole response. */
export class EventsRequest implements BackendListener {
  readonly #ports: RelayPorts;
  readonly #listener: RequestListener;
  #backend: HttpBackend | undefined;
  #head: ResponseHead | undefined;
  #pieces: Bytes[] = [];
  #bytes = 0;
  #isOver = false;

  constructor(ports: RelayPorts, listener: RequestListener) {
    this.#ports = ports;
    this.#listener = listener;
  }

  start(target: Target, uri: string, headers: string[], body: Bytes): void {
    const first = new Packet();
    first.method = "POST";
    first.uri = uri;
    first.headers = headers;
    first.body = body;
    addressPacket(first, target);
    if (target.kind === "zhttpreq") {
      this.#requestReply(target, first);
      return;
    }
    if (target.kind === "zhttp" && !this.#ports.isReachable(target)) {
      this.#ports.clock.setTimer(0, () => this.#fail("undefined-condition", false));
      return;
    }
    const session = this.#ports.openBackend("http", INITIAL_CREDITS, target);
    this.#backend = new HttpBackend(this.#ports, session, this);
    session.open(first);
    this.#ports.pump(session);
  }

  /** Nothing more is wanted of it, and nothing is reported. */
  cancel(): void {
    this.#isOver = true;
    this.#backend?.drop();
    this.#backend = undefined;
  }

  backendData({ code = 0, reason, headers = [], body, more }: Packet): void {
    if (this.#isOver) return;
    this.#head ??= { code, reason: detach(reason), headers: headers.map(detach) };
    if (body.length > 0) this.#pieces.push(typeof body === "string" ? detach(body) : body);
    this.#bytes += body.length;
    // Limit: RESPONSE_MAX_BYTES
    if (this.#bytes > RESPONSE_MAX_BYTES) {
      this.#fail("max-size-exceeded", true);
      return;
    }
    if (more) {
      this.#backend?.session.grant(body.length);
      return;
    }
    const head = this.#head;
    this.cancel();
    this.#listener.answered(head, concatBytes(this.#pieces));
  }

  backendCredits(): void {}

  backendFailed(condition: string): void {
    // The whole request is in the first packet: whoever says anything at all has got it.
    const isUnheard = condition === "expired" && this.#backend?.session.peer === "";
    this.#fail(condition, !isUnheard);
  }

  #requestReply(target: Target, packet: Packet): void {
    packet.maxSize = RESPONSE_MAX_BYTES;
    let isStarting = true;
    const take = (reply: Packet | undefined) => {
      if (reply === undefined) this.#fail("expired", true);
      else if (reply.type === "error") this.#fail(reply.condition, true);
      else {
        reply.more = false;
        this.backendData(reply);
      }
    };
    this.#ports.requestReply(target, packet, (reply) => {
      if (isStarting) this.#ports.clock.setTimer(0, () => take(reply));
      else take(reply);
    });
    isStarting = false;
  }

  #fail(condition: string, wasHandedOver: boolean): void {
    if (this.#isOver) return;
    this.cancel();
    this.#listener.failed(condition, wasHandedOver);
  }
}
