import { hasGripInstruction } from "@pushpin/grip";
import { filterHeaders, getHeader, isWritable, reasonPhrase } from "@pushpin/http";
import { type Bytes, concatBytes } from "@pushpin/tnetstrings";
import { INITIAL_CREDITS, Packet, type Session } from "@pushpin/zhttp";
import type { InspectResult, RequestState } from "@pushpin/zrpc";
import type { Route, Target } from "../routes/route-table.ts";
import { testResponse } from "../test-target.ts";
import type { RelayPorts, SessionEnd } from "./ports.ts";
import { addressTo } from "./request-transform.ts";

/** Limit: request and response bodies that an accept carries. Unit: bytes. */
export const ACCEPT_BODY_MAX_BYTES = 100_000;

const RESPONSE_REMOVED = (name: string) =>
  name === "connection" || name === "keep-alive" || name === "transfer-encoding";

type Phase = "requesting" | "relaying" | "collecting" | "handing-off" | "done";

export interface RelayRequest {
  readonly method: string;
  readonly uri: string;
  readonly headers: string[];
  readonly body: Bytes;
  readonly bodyComplete: boolean;
  readonly peerAddress: string;
  readonly isRetry: boolean;
  readonly inspect: InspectResult | undefined;
}

/** One client request on its way: targets, response, or handoff to the handler. */
export class HttpRelay implements SessionEnd {
  readonly session: Session;
  keepAliveSlot?: number;
  readonly #ports: RelayPorts;
  readonly #request: RelayRequest;
  readonly #route: Route | undefined;
  readonly #https: boolean;
  #phase: Phase = "requesting";
  #backend: BackendEnd | undefined;
  #targetIndex = -1;
  /** Request body kept for the next target and for the handler; undefined once it was too large. */
  #body: Bytes[] | undefined = [];
  #bodyBytes = 0;
  #bodyComplete: boolean;
  #sentHeaders: string[] = [];
  #sentUri = "";
  #head: { code: number; reason: string; headers: string[] } | undefined;
  #pieces: Bytes[] = [];
  #pieceBytes = 0;
  #bytes = 0;
  #ungrantedDown = 0;
  #ungrantedUp = 0;

  constructor(
    ports: RelayPorts,
    session: Session,
    request: RelayRequest,
    route: Route | undefined,
  ) {
    this.#ports = ports;
    this.session = session;
    this.#request = request;
    this.#route = route;
    this.#https = request.uri.startsWith("https");
    this.#bodyComplete = request.bodyComplete;
    this.#keep(request.body);
  }

  get #debug(): boolean {
    return this.#ports.debug || this.#route?.debug === true;
  }

  get #target(): Target | undefined {
    return this.#route?.targets[this.#targetIndex];
  }

  start(): void {
    if (this.#route === undefined) {
      this.#answer(502, "Route not found\n");
      return;
    }
    this.#nextTarget();
  }

  /** From the client's side. */
  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    switch (this.session.receive(packet, seq, nowMs)) {
      case "data":
        this.#keep(packet.body);
        this.#bodyComplete = !packet.more;
        if (this.#backend === undefined) this.session.grant(packet.body.length);
        else {
          this.#backend.session.write(packet.body, packet.more);
          this.#ungrantedUp += packet.body.length;
          this.#ports.pump(this.#backend.session);
          this.#grantUp();
        }
        break;
      case "credit":
        this.#ports.pump(this.session);
        this.#grantDown();
        break;
      case "handoff-proceed":
        this.#callAccept();
        break;
      case "cancel":
      case "error":
      case "failed":
        this.#ports.pump(this.session);
        this.#end("error");
        return;
      default:
    }
    this.#ports.pump(this.session);
  }

  expired(): void {
    this.#end("error");
  }

  #keep(body: Bytes): void {
    this.#bodyBytes += body.length;
    if (body.length > 0) this.#body?.push(body);
    // Limit: ACCEPT_BODY_MAX_BYTES; a larger request is streamed on, but can neither be held nor sent again.
    if (this.#bodyBytes > ACCEPT_BODY_MAX_BYTES) this.#body = undefined;
  }

  #nextTarget(): void {
    this.#targetIndex += 1;
    const route = this.#route as Route;
    const target = this.#target;
    if (target === undefined) {
      const tried = route.targets.map((one) => one.label).join(", ");
      this.#answer(
        502,
        this.#debug ? `Unable to connect to any targets. Tried: ${tried}\n` : PROXY_ERROR,
      );
      return;
    }
    if (target.kind === "test") {
      this.#testTarget(route);
      return;
    }
    if (
      target.overHttp &&
      /^application\/websocket-events/i.test(getHeader(this.#request.headers, "content-type") ?? "")
    ) {
      this.#answer(403, "Client not allowed to send WebSocket events directly.\n");
      return;
    }
    this.#sentHeaders = this.#ports.transform(
      {
        ...this.#request,
        signature: this.#ports.signature(route),
        lastIds: this.#request.inspect?.lastIds,
      },
      route,
    );
    const addressed = addressTo(target, route, this.#request.uri, this.#sentHeaders, false);
    if (addressed === undefined) {
      this.#answer(502, PROXY_ERROR);
      return;
    }
    this.#sentUri = addressed.uri;
    this.#sentHeaders = addressed.headers;
    const first = new Packet();
    first.method = this.#request.method;
    first.uri = addressed.uri;
    first.headers = addressed.headers;
    first.connectHost = target.host;
    first.connectPort = target.port;
    first.ignorePolicies = target.trusted;
    first.ignoreTlsErrors = target.insecure;
    first.trustConnectHost = target.trustConnectHost;
    first.body = concatBytes(
      this.#body === undefined || this.#body.length === 0 ? [""] : this.#body,
    );
    first.more = !this.#bodyComplete;
    const session = this.#ports.openBackend("http", INITIAL_CREDITS);
    const backend = new BackendEnd(session, this);
    this.#backend = backend;
    this.#ports.register(backend);
    session.open(first);
    this.#ports.pump(session);
  }

  #testTarget(route: Route): void {
    const response = testResponse(
      this.#request.uri,
      route,
      this.#bodyBytes > ACCEPT_BODY_MAX_BYTES,
    );
    this.#head = response;
    if (hasGripInstruction(response.headers) && !route.noGrip) {
      this.#pieces = [response.body];
      this.#beginHandoff();
      return;
    }
    this.#bytes = response.body.length;
    this.session.respond(response, response.body, false);
    this.#ports.pump(this.session);
    this.#end({ code: response.code, bytes: this.#bytes });
  }

  /** From the backend's side. */
  backendPacket(packet: Packet, seq: number | undefined, nowMs: number): void {
    const backend = this.#backend;
    if (backend === undefined) return;
    const received = backend.session.receive(packet, seq, nowMs);
    switch (received) {
      case "data":
        this.#response(packet);
        break;
      case "error":
      case "cancel":
      case "failed":
        this.#ports.pump(backend.session);
        this.#backendFailed(received === "error" ? packet.condition : "undefined-condition");
        return;
      default:
        this.#ports.pump(backend.session);
        this.#grantUp();
    }
    this.#ports.pump(this.session);
    this.#grantDown();
  }

  backendExpired(): void {
    this.#backendFailed("expired");
  }

  #backendFailed(condition: string): void {
    this.#dropBackend();
    if (this.#phase === "requesting") {
      const mayTryNext =
        condition === "remote-connection-failed" ||
        condition === "connection-timeout" ||
        condition === "tls-error";
      if (mayTryNext && (this.#body !== undefined || this.#bodyBytes === 0)) this.#nextTarget();
      else if (condition === "length-required")
        this.#answer(411, "Must provide Content-Length header.\n");
      else if (condition === "policy-violation" && this.#debug)
        this.#answer(502, "Error: Origin host/IP blocked.\n");
      else this.#answer(502, PROXY_ERROR);
      return;
    }
    if (this.#phase === "collecting") {
      this.#answer(502, PROXY_ERROR);
      return;
    }
    // Never a clean end for a response that was cut.
    this.session.cancel();
    this.#ports.pump(this.session);
    this.#end("error");
  }

  #response(packet: Packet): void {
    this.#ungrantedDown += packet.body.length;
    if (this.#phase === "requesting") {
      const headers = packet.headers ?? [];
      if (packet.code === undefined || packet.code < 200 || !isWritable(packet.reason, headers)) {
        this.#dropBackend();
        this.#answer(502, PROXY_ERROR);
        return;
      }
      this.#head = { code: packet.code, reason: packet.reason, headers };
      if (this.#route?.noGrip !== true && hasGripInstruction(headers)) this.#phase = "collecting";
      else {
        this.#phase = "relaying";
        this.#bytes += packet.body.length;
        this.session.respond(
          { ...this.#head, headers: filterHeaders(headers, RESPONSE_REMOVED) },
          packet.body,
          packet.more,
        );
        if (!packet.more) this.#finish();
        return;
      }
    }
    if (this.#phase === "collecting") {
      this.#pieces.push(packet.body);
      this.#pieceBytes += packet.body.length;
      if (this.#pieceBytes > ACCEPT_BODY_MAX_BYTES) {
        this.#dropBackend();
        this.#answer(
          502,
          this.#debug
            ? `GRIP instruct response too large from ${this.#target?.label}\n`
            : PROXY_ERROR,
        );
      } else if (!packet.more) this.#beginHandoff();
      return;
    }
    if (this.#phase !== "relaying") return;
    this.#bytes += packet.body.length;
    this.session.write(packet.body, packet.more);
    if (!packet.more) this.#finish();
  }

  #finish(): void {
    this.#ports.pump(this.session);
    if (this.#backend !== undefined) this.#dropBackend();
    this.#log({ code: this.#head?.code ?? 0, bytes: this.#bytes });
    this.#phase = "done";
    if (this.session.ended) this.#ports.unregister(this);
  }

  /** The client may send as much more as the backend took. */
  #grantUp(): void {
    const backend = this.#backend?.session;
    if (
      this.#ungrantedUp === 0 ||
      backend === undefined ||
      backend.queuedBytes > INITIAL_CREDITS / 2
    )
      return;
    this.session.grant(this.#ungrantedUp);
    this.#ungrantedUp = 0;
    this.#ports.pump(this.session);
  }

  /** The backend may send as much more as the client took. */
  #grantDown(): void {
    if (this.#phase === "done" && this.session.ended) this.#ports.unregister(this);
    const backend = this.#backend?.session;
    if (
      this.#ungrantedDown === 0 ||
      backend === undefined ||
      backend.ended ||
      this.session.queuedBytes > INITIAL_CREDITS / 2
    )
      return;
    backend.grant(this.#ungrantedDown);
    this.#ungrantedDown = 0;
    this.#ports.pump(backend);
  }

  #beginHandoff(): void {
    this.#dropBackend();
    if (this.#body === undefined) {
      this.#answer(400, "Request too large to accept GRIP instruct.\n");
      return;
    }
    this.#phase = "handing-off";
    this.session.handoffStart();
    this.#ports.pump(this.session);
  }

  #callAccept(): void {
    const { session } = this;
    const state: RequestState = {
      rid: { sender: session.peer, id: session.id },
      inSeq: session.inSeq,
      outSeq: session.outSeq,
      outCredits: session.outCredits,
      ...(this.#https ? { https: true } : {}),
      ...(this.#request.peerAddress === ""
        ? {}
        : {
            peerAddress: this.#request.peerAddress,
            logicalPeerAddress: this.#request.peerAddress,
          }),
      ...(this.#debug ? { debug: true } : {}),
      ...(this.#request.isRetry ? { isRetry: true } : {}),
      ...(this.#route?.autoCrossOrigin ? { autoCrossOrigin: true } : {}),
      ...(session.routerResp ? { routerResp: true } : {}),
    };
    const body = concatBytes(
      this.#body === undefined || this.#body.length === 0 ? [""] : this.#body,
    );
    const { method, uri, headers, inspect } = this.#request;
    const head = this.#head as { code: number; reason: string; headers: string[] };
    this.#ports.accept(
      {
        states: [state],
        route: this.#route as Route,
        target: this.#target,
        requestData: { method, uri: this.#sentUri || uri, headers: this.#sentHeaders, body },
        origRequestData: { method, uri, headers, body },
        inspect,
        response: { ...head, body: concatBytes(this.#pieces.length === 0 ? [""] : this.#pieces) },
      },
      (outcome) => {
        if (this.#phase !== "handing-off") return;
        if (outcome.kind === "accepted") {
          this.session.forget();
          this.#end("accept");
          return;
        }
        this.session.takeBack();
        if (outcome.kind === "response") {
          const { response } = outcome;
          this.session.respond(response, response.body, false);
          this.#ports.pump(this.session);
          this.#end({ code: response.code, bytes: response.body.length });
        } else if (outcome.kind === "bad-format")
          this.#answer(
            502,
            this.#debug ? `Failed to parse accept instructions: ${outcome.detail}\n` : PROXY_ERROR,
          );
        else this.#answer(500, "Accept service unavailable.\n");
      },
    );
  }

  /** An answer of the proxy itself. */
  #answer(code: number, text: string): void {
    this.#dropBackend();
    const headers = ["Content-Type", "text/plain", "Content-Length", String(text.length)];
    const body = this.#request.method === "HEAD" ? "" : text;
    this.session.respond({ code, reason: reasonPhrase(code), headers }, body, false);
    this.#ports.pump(this.session);
    this.#end({ code, bytes: body.length });
  }

  #dropBackend(): void {
    const backend = this.#backend;
    if (backend === undefined) return;
    this.#backend = undefined;
    if (!backend.session.ended) {
      backend.session.cancel();
      this.#ports.pump(backend.session);
    }
    this.#ports.unregister(backend);
  }

  #end(outcome: "accept" | "error" | { code: number; bytes: number }): void {
    this.#dropBackend();
    if (this.#phase !== "done") this.#log(outcome);
    this.#phase = "done";
    if (this.session.ended) this.#ports.unregister(this);
  }

  #log(outcome: "accept" | "error" | { code: number; bytes: number }): void {
    const { method, uri, headers, peerAddress, isRetry } = this.#request;
    this.#ports.logRequest({
      method,
      uri,
      target: this.#target?.label ?? this.#route?.targets.at(-1)?.label,
      route: this.#route,
      referer: getHeader(headers, "referer"),
      userAgent: getHeader(headers, "user-agent"),
      address: peerAddress,
      outcome,
      isRetry,
    });
  }
}

const PROXY_ERROR = "Error while proxying to origin.\n";

class BackendEnd implements SessionEnd {
  readonly session: Session;
  keepAliveSlot?: number;
  readonly #relay: HttpRelay;

  constructor(session: Session, relay: HttpRelay) {
    this.session = session;
    this.#relay = relay;
  }

  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    this.#relay.backendPacket(packet, seq, nowMs);
  }

  expired(): void {
    this.#relay.backendExpired();
  }
}
