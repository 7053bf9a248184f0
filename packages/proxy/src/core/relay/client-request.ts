import { JsonpStream, withCors } from "@pushpin/grip";
import { filterHeaders, getAllHeaders, reasonPhrase } from "@pushpin/http";
import type { Bytes } from "@pushpin/tnetstrings";
import type { Packet, ResponseHead, Session } from "@pushpin/zhttp";
import type { RequestState } from "@pushpin/zrpc";
import type { Route } from "../routes/route-table.ts";
import { headerBytes, requestHeaderBytes } from "../traffic.ts";
import type { AccessEntry, RelayPorts, SessionEnd } from "./ports.ts";
import type { RequestTrace } from "./request-trace.ts";

/** How the client's response is written. */
export interface JsonpCallback {
  readonly callback: string;
  readonly isExtended: boolean;
}

/** A client's request as the rest of the proxy sees it: after JSON-P rewriting. */
export interface ClientRequestInfo {
  readonly method: string;
  readonly uri: string;
  readonly headers: string[];
  readonly route: Route | undefined;
  readonly peerAddress: string;
  readonly logicalAddress: string;
  readonly isTrusted: boolean;
  /** A request of the handler: always relayed, not logged, not counted. */
  readonly isInternal: boolean;
  readonly isRetry: boolean;
  readonly debug: boolean;
  readonly autoCrossOrigin: boolean;
  readonly jsonp: JsonpCallback | undefined;
  /** Of a request that came back: connection time nobody has counted yet. */
  readonly unreportedMs: number | undefined;
  readonly userData: RequestState["userData"];
}

/** Who deals with the request at present. */
export interface ClientListener {
  body(client: ClientRequest, body: Bytes, more: boolean): void;
  /** The client took some of what waits. */
  drained(client: ClientRequest): void;
  /** The connection manager lets go of it: it may be given away. */
  proceeded(client: ClientRequest): void;
  gone(client: ClientRequest): void;
}

type Outcome = AccessEntry["outcome"];

/** One HTTP request of a client: its session, and how its response is written, logged and counted. */
export class ClientRequest implements SessionEnd {
  readonly session: Session;
  readonly info: ClientRequestInfo;
  readonly statsRoute: string;
  /** What tables and statistics know it by; made once, so that it is hashed once. */
  readonly key: string;
  keepAliveSlot?: number;
  listener: ClientListener | undefined;
  /** Status that was sent, or 0. */
  code = 0;
  /** Body bytes written towards the client. */
  bytes = 0;
  /** Target and number of the shared request, for the log. */
  target: string | undefined;
  shared: number | undefined;
  /** Set where the client asked for an explanation in the place of the answer. */
  trace: RequestTrace | undefined;
  readonly #ports: RelayPorts;
  #jsonp: JsonpStream | undefined;
  #closed = false;

  constructor(ports: RelayPorts, session: Session, info: ClientRequestInfo) {
    this.#ports = ports;
    this.session = session;
    this.info = info;
    this.key = `${session.peer}:${session.id}`;
    this.statsRoute = info.route?.hasExplicitId ? info.route.id : "";
    if (info.isInternal || info.route === undefined) return;
    const { stats } = ports;
    if (!info.isRetry) {
      stats.requestReceived(this.statsRoute);
      const bytes = requestHeaderBytes(info.method, info.uri, info.headers);
      stats.count(this.statsRoute, "clientHeaderBytesReceived", bytes);
    }
    stats.activity(this.statsRoute, 1);
    stats.connectionAdded(
      {
        id: this.key,
        kind: "http",
        route: this.statsRoute,
        peerAddress: info.logicalAddress,
        secure: info.uri.startsWith("https:"),
        unreportedMs: info.unreportedMs,
      },
      ports.nowMs(),
    );
  }

  get isOver(): boolean {
    return this.#closed;
  }

  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    switch (this.session.receive(packet, seq, nowMs)) {
      case "data":
        this.#countReceived(packet.body.length);
        this.listener?.body(this, packet.body, packet.more);
        break;
      case "credit":
        this.#ports.pump(this.session);
        if (this.#closed) this.#release();
        else this.listener?.drained(this);
        break;
      case "handoff-proceed":
        this.listener?.proceeded(this);
        break;
      case "cancel":
      case "error":
      case "failed":
        this.#ports.pump(this.session);
        this.#gone();
        return;
      default:
    }
    this.#ports.pump(this.session);
  }

  expired(): void {
    this.#gone();
  }

  /** Head, and as much of the body as is there; CORS or JSON-P where asked for. */
  respond(head: ResponseHead, body: Bytes, more: boolean): void {
    const { jsonp, autoCrossOrigin, headers } = this.info;
    this.code = head.code;
    let shown = head;
    let content = body;
    if (jsonp !== undefined) {
      this.#jsonp = new JsonpStream(jsonp);
      content = this.#jsonp.open(head) + this.#jsonp.body(body) + (more ? "" : this.#jsonp.end());
      const kept = more
        ? []
        : getAllHeaders(head.headers, "cache-control").flatMap((one) => ["Cache-Control", one]);
      const length = more ? [] : ["Content-Length", String(content.length)];
      const type = ["Content-Type", "application/javascript"];
      shown = { code: 200, reason: "OK", headers: [...type, ...length, ...kept] };
    } else if (autoCrossOrigin) shown = { ...head, headers: withCors(head.headers, headers) };
    this.bytes += content.length;
    this.session.respond(shown, content, more);
    this.#countSent(
      String(shown.code).length + shown.reason.length + headerBytes(shown.headers),
      content.length,
    );
    this.#ports.pump(this.session);
  }

  write(body: Bytes, more: boolean): void {
    let content = body;
    if (this.#jsonp !== undefined)
      content = this.#jsonp.body(body) + (more ? "" : this.#jsonp.end());
    this.bytes += content.length;
    this.session.write(content, more);
    this.#countSent(0, content.length);
    this.#ports.pump(this.session);
  }

  /** A whole answer of the proxy itself. */
  answer(code: number, text: string): void {
    if (this.trace !== undefined) {
      this.answerWith(this.trace.respond(`${code} ${text.trimEnd()}`));
      return;
    }
    const headers = ["Content-Type", "text/plain", "Content-Length", String(text.length)];
    const body = this.info.method === "HEAD" ? "" : text;
    this.respond({ code, reason: reasonPhrase(code), headers }, body, false);
    this.end({ code, bytes: this.bytes });
  }

  /** A response that the handler or a built-in backend gave whole. */
  answerWith(response: ResponseHead & { readonly body: Bytes }): void {
    const headers = filterHeaders(response.headers, (name) => name === "transfer-encoding");
    this.respond({ ...response, headers }, response.body, false);
    this.end({ code: response.code, bytes: this.bytes });
  }

  /** A response that cannot be ended cleanly. */
  abort(): void {
    this.session.cancel();
    this.#ports.pump(this.session);
    this.end("error");
  }

  /** Logged, and out of the tables as soon as everything has been sent. */
  end(outcome: Outcome): void {
    if (this.#closed) return;
    this.#closed = true;
    this.listener = undefined;
    this.#log(outcome);
    if (!this.info.isInternal && this.info.route !== undefined && outcome !== "accept")
      this.#ports.stats.connectionRemoved(this.key, this.#ports.nowMs());
    this.#release();
  }

  /** Asks the connection manager to let go of it; `proceeded` follows. */
  beginHandoff(): void {
    this.session.handoffStart();
    this.#ports.pump(this.session);
  }

  /** Another process has it now. */
  handOver(): void {
    this.session.forget();
    this.end("accept");
  }

  state(): RequestState {
    const { session, info } = this;
    const unreportedMs = this.#ports.stats.connectionGivenAway(
      this.key,
      this.#ports.nowMs(),
    );
    return {
      rid: { sender: session.peer, id: session.id },
      inSeq: session.inSeq,
      outSeq: session.outSeq,
      outCredits: session.outCredits,
      ...(info.uri.startsWith("https:") ? { https: true } : {}),
      ...(info.peerAddress === "" ? {} : { peerAddress: info.peerAddress }),
      ...(info.logicalAddress === "" ? {} : { logicalPeerAddress: info.logicalAddress }),
      ...(info.debug ? { debug: true } : {}),
      ...(info.isRetry ? { isRetry: true } : {}),
      ...(info.autoCrossOrigin ? { autoCrossOrigin: true } : {}),
      ...(info.jsonp === undefined ? {} : { jsonpCallback: info.jsonp.callback }),
      ...(info.jsonp?.isExtended ? { jsonpExtendedResponse: true } : {}),
      ...(unreportedMs > 0 ? { unreportedTimeMs: unreportedMs } : {}),
      ...(this.code === 0 ? {} : { responseCode: this.code }),
      ...(session.routerResp ? { routerResp: true } : {}),
      ...(info.userData === undefined ? {} : { userData: info.userData }),
    };
  }

  #gone(): void {
    const { listener } = this;
    this.end("error");
    this.#release();
    listener?.gone(this);
  }

  #release(): void {
    const { session } = this;
    // A response that is complete ends it, even if the rest of the request never comes.
    if (session.selfDone && !session.ended && !session.hasQueued) session.forget();
    if (session.ended) this.#ports.unregister(this);
  }

  #countReceived(bytes: number): void {
    if (bytes > 0 && !this.info.isInternal && !this.info.isRetry)
      this.#ports.stats.count(this.statsRoute, "clientContentBytesReceived", bytes);
  }

  #countSent(head: number, content: number): void {
    if (this.info.isInternal) return;
    const { stats } = this.#ports;
    if (head > 0) stats.count(this.statsRoute, "clientHeaderBytesSent", head);
    if (content > 0) stats.count(this.statsRoute, "clientContentBytesSent", content);
  }

  #log(outcome: Outcome): void {
    const { info } = this;
    if (info.isInternal) return;
    this.#ports.logRequest({
      method: info.method,
      uri: info.uri,
      target: this.target,
      route: info.route,
      headers: info.headers,
      address: info.logicalAddress,
      outcome,
      isRetry: info.isRetry,
      ...(this.shared === undefined ? {} : { shared: this.shared }),
    });
  }
}
