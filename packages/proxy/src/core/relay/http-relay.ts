import { hasGripInstruction } from "@pushpin/grip";
import {
  filterHeaders,
  getAllHeaders,
  getHeader,
  isWritable,
  parseParameters,
  reasonPhrase,
  splitList,
  isIdempotent,
} from "@pushpin/http";
import { type Bytes, concatBytes } from "@pushpin/tnetstrings";
import { INITIAL_CREDITS, Packet, PEER_RESTARTED, type ResponseHead } from "@pushpin/zhttp";
import type { InspectResult } from "@pushpin/zrpc";
import type { Route, Target } from "../routes/route-table.ts";
import { testResponse } from "../test-target.ts";
import { headerBytes, requestHeaderBytes } from "../traffic.ts";
import type { ClientListener, ClientRequest } from "./client-request.ts";
import { type BackendListener, HttpBackend } from "./http-backend.ts";
import type { AcceptOutcome, RelayPorts } from "./ports.ts";
import { REQUEST_BODY_KEPT_MAX_BYTES, type RequestBody } from "./request-body.ts";
import { addressTo } from "./request-transform.ts";

/** Limit: response body that is kept for an accept, or for clients that join late. Unit: bytes. */
export const RESPONSE_KEPT_MAX_BYTES = 100_000;
/** Limit: bodies of the answers of `zhttpreq` services. Unit: bytes. */
const REPLY_MAX_BYTES = 1_000_000;

const PROXY_ERROR = "Error while proxying to origin.\n";
const ACCEPT_ERROR = "Accept service unavailable.\n";
const UNREACHABLE = "Error: zhttp service for route is unreachable.\n";

/** Failures before which the backend cannot have seen the request. */
/** Limit: times a request is sent again because the HTTP client died; it may be what kills it. Unit: repeats. */
export const RESTARTS_MAX = 3;
const IS_CONNECT_FAILURE = /^(?:remote-connection-failed|connection-timeout|tls-error)$/;

//   requesting ──head──▶ relaying ──end──▶ done
//   requesting ──head with GRIP──▶ collecting ──end──▶ handing-off ──accepted──▶ done
//   collecting ──large stream──▶ relaying ──end──▶ handing-off;  handing-off ──response──▶ done
type Phase = "requesting" | "relaying" | "collecting" | "handing-off" | "done";

/**
 * One request to a backend for one client, or for several that share it: targets in turn, the
 * response to all of them, or the handoff to the handler (proxy.md 3.9 to 3.17).
 */
export class HttpRelay implements ClientListener, BackendListener {
  readonly #ports: RelayPorts;
  readonly #route: Route;
  readonly #body: RequestBody;
  readonly #first: ClientRequest;
  readonly #inspect: InspectResult | undefined;
  /** Set for requests that may be shared; told when nobody can join any more. */
  readonly #onUnjoinable: (() => void) | undefined;
  #clients: ClientRequest[];
  #phase: Phase = "requesting";
  #backend: HttpBackend | undefined;
  #targetIndex = -1;
  #restarts = 0;
  #sentUri = "";
  #head: ResponseHead | undefined;
  #kept: Bytes[] | undefined = [];
  #keptBytes = 0;
  /** The response goes out already, and the handler is to continue it. */
  #isResponseSent = false;
  #waitingFor = 0;
  #ungrantedDown = 0;
  #ungrantedUp = 0;

  constructor(
    ports: RelayPorts,
    route: Route,
    client: ClientRequest,
    body: RequestBody,
    inspect: InspectResult | undefined,
    onUnjoinable?: () => void,
  ) {
    this.#ports = ports;
    this.#route = route;
    this.#first = client;
    this.#clients = [client];
    this.#body = body;
    this.#inspect = inspect;
    this.#onUnjoinable = onUnjoinable;
    client.listener = this;
  }

  get #debug(): boolean {
    return this.#first.info.debug;
  }

  get #target(): Target | undefined {
    return this.#route.targets[this.#targetIndex];
  }

  start(): void {
    this.#nextTarget();
  }

  /** To the handler without asking a backend. */
  giveAway(): void {
    this.#phase = "collecting";
    this.#beginHandoff();
  }

  /** Another client for the same response; what there is of it is sent at once. */
  join(client: ClientRequest): void {
    this.#clients.push(client);
    client.listener = this;
    client.target = this.#target?.label;
    if (this.#phase === "relaying" && this.#head !== undefined)
      client.respond(this.#head, concatBytes(this.#kept ?? []), true);
  }

  // From the clients

  body(_client: ClientRequest, body: Bytes, more: boolean): void {
    this.#body.add(body, more);
    const backend = this.#backend;
    if (backend === undefined) return;
    backend.session.write(body, more);
    this.#body.forgetIfLarge();
    this.#ungrantedUp += body.length;
    this.#ports.pump(backend.session);
    this.#countServerSent(0, body.length);
    this.#grantUp();
  }

  drained(): void {
    this.#grantDown();
  }

  proceeded(): void {
    this.#waitingFor -= 1;
    if (this.#waitingFor <= 0) this.#callAccept();
  }

  gone(client: ClientRequest): void {
    this.#clients = this.#clients.filter((one) => one !== client);
    if (this.#clients.length === 0) {
      this.#dropBackend();
      this.#over();
      return;
    }
    if (this.#phase === "handing-off") this.proceeded();
    else this.#grantDown();
  }

  // Towards the backend

  #nextTarget(): void {
    this.#targetIndex += 1;
    const route = this.#route;
    const target = this.#target;
    const { info } = this.#first;
    if (target === undefined) {
      const tried = route.targets.map((one) => one.label).join(", ");
      this.#answer(502, PROXY_ERROR, `Unable to connect to any targets. Tried: ${tried}\n`);
      return;
    }
    for (const client of this.#clients) client.target = target.label;
    this.#first.trace?.asked(this.#targetIndex);
    if (target.kind === "test") {
      this.#testTarget();
      return;
    }
    if (target.overHttp && !info.isTrusted && !info.isInternal && isEvents(info.headers)) {
      this.#answer(403, "Client not allowed to send WebSocket events directly.\n");
      return;
    }
    const headers = this.#ports.transform(
      {
        uri: info.uri,
        headers: info.headers,
        peerAddress: info.peerAddress,
        trustedClient: info.isTrusted,
        isInternal: info.isInternal,
        signature: info.isTrusted || route.noGrip ? "" : this.#ports.signature(route),
        sid: this.#inspect?.sid,
        lastIds: this.#inspect?.lastIds,
      },
      route,
    );
    const addressed = addressTo(target, route, info.uri, headers, false);
    if (addressed === undefined) {
      this.#answer(502, PROXY_ERROR);
      return;
    }
    this.#sentUri = addressed.uri;
    const first = new Packet();
    first.method = info.method;
    first.uri = addressed.uri;
    first.headers = addressed.headers;
    addressPacket(first, target);
    first.body = this.#body.content;
    this.#countServerSent(
      requestHeaderBytes(info.method, addressed.uri, addressed.headers),
      first.body.length,
    );
    if (target.kind === "zhttpreq") {
      this.#requestReply(target, first);
      return;
    }
    if (target.kind === "zhttp" && !this.#ports.isReachable(target)) {
      this.#answer(502, PROXY_ERROR);
      return;
    }
    first.more = !this.#body.isComplete;
    const session = this.#ports.openBackend("http", INITIAL_CREDITS, target);
    this.#backend = new HttpBackend(this.#ports, session, this);
    session.open(first);
    this.#body.forgetIfLarge();
    this.#ports.pump(session);
  }

  #requestReply(target: Target, packet: Packet): void {
    if (!this.#body.isComplete) {
      this.#answer(411, "Must provide Content-Length header.\n");
      return;
    }
    packet.maxSize = REPLY_MAX_BYTES;
    this.#ports.requestReply(target, packet, (reply) => {
      if (this.#phase !== "requesting") return;
      if (reply === undefined) this.#answer(502, PROXY_ERROR, UNREACHABLE);
      else if (reply.type === "error") this.backendFailed(reply.condition);
      else {
        reply.more = false;
        this.backendData(reply);
      }
    });
  }

  #testTarget(): void {
    const isTooLarge = this.#body.bytes > REQUEST_BODY_KEPT_MAX_BYTES;
    const response = testResponse(this.#first.info.uri, this.#route, isTooLarge);
    const packet = new Packet();
    packet.code = response.code;
    packet.reason = response.reason;
    packet.headers = response.headers;
    packet.body = response.body;
    this.backendData(packet);
  }

  // From the backend

  backendData(packet: Packet): void {
    this.#ungrantedDown += packet.body.length;
    if (this.#phase === "requesting") {
      this.#responseHead(packet);
      return;
    }
    this.#countServerReceived(0, packet.body.length);
    if (this.#phase === "collecting") this.#collect(packet.body, packet.more);
    else if (this.#phase === "relaying") this.#relayBody(packet.body, packet.more);
  }

  backendCredits(): void {
    this.#grantUp();
  }

  backendFailed(condition: string): void {
    this.#first.trace?.failed(this.#targetIndex, condition);
    this.#dropBackend();
    if (this.#phase === "collecting") this.#answer(502, PROXY_ERROR);
    else if (this.#phase === "relaying") this.#cut();
    if (this.#phase !== "requesting") return;
    const isKept = this.#body.isKept || this.#body.bytes === 0;
    const mayRepeat = isKept && isIdempotent(this.#first.info.method);
    if (condition === PEER_RESTARTED && mayRepeat && this.#restarts < RESTARTS_MAX) {
      this.#restarts += 1; // Limit: RESTARTS_MAX
      this.#targetIndex -= 1;
      this.#nextTarget();
      return;
    }
    if (IS_CONNECT_FAILURE.test(condition) && isKept)
      this.#nextTarget();
    else if (condition === "length-required")
      this.#answer(411, "Must provide Content-Length header.\n");
    else if (condition === "policy-violation")
      this.#answer(502, PROXY_ERROR, "Error: Origin host/IP blocked.\n");
    else if (condition === "expired") this.#answer(502, PROXY_ERROR, UNREACHABLE);
    else this.#answer(502, PROXY_ERROR);
  }

  #responseHead(packet: Packet): void {
    const headers = packet.headers ?? [];
    const { code, reason, body } = packet;
    if (code === undefined || code < 200 || !isWritable(reason, headers)) {
      this.#answer(502, PROXY_ERROR);
      return;
    }
    this.#countServerReceived(String(code).length + reason.length + headerBytes(headers), body.length);
    const { info, trace } = this.#first;
    trace?.answered(this.#targetIndex, { code, reason, headers });
    const isForHandler =
      !info.isTrusted && !info.isInternal && !this.#route.noGrip && hasGripInstruction(headers);
    if (isForHandler) {
      this.#head = { code, reason, headers };
      this.#phase = "collecting";
      this.#onUnjoinable?.();
      if (!this.#body.isKept || this.#body.bytes > REQUEST_BODY_KEPT_MAX_BYTES)
        this.#answer(400, "Request too large to accept GRIP instruct.\n");
      else this.#collect(body, packet.more);
      return;
    }
    if (trace !== undefined) this.#explain(`${code} ${reason}, relayed`);
    else this.#startRelaying({ code, reason, headers: this.#relayed(headers) }, body, packet.more);
  }

  #relayed(headers: string[]): string[] {
    const { decodesContent } = this.#ports;
    return filterHeaders(
      headers,
      (name) =>
        name === "connection" ||
        name === "keep-alive" ||
        name === "transfer-encoding" ||
        (decodesContent && name === "content-encoding"),
    );
  }

  #startRelaying(head: ResponseHead, body: Bytes, more: boolean): void {
    this.#phase = "relaying";
    this.#head = head;
    this.#kept = this.#onUnjoinable === undefined ? undefined : [];
    this.#keptBytes = 0;
    this.#keep(body);
    for (const client of this.#clients) client.respond(head, body, more);
    if (more) this.#grantDown();
    else this.#finish();
  }

  #relayBody(body: Bytes, more: boolean): void {
    this.#keep(body);
    const isLast = !more && !this.#isResponseSent;
    for (const client of this.#clients) client.write(body, !isLast);
    if (more) this.#grantDown();
    else if (this.#isResponseSent) this.#beginHandoff();
    else this.#finish();
  }

  #keep(body: Bytes): void {
    if (this.#kept === undefined) return;
    this.#kept.push(body);
    this.#keptBytes += body.length;
    // Limit: RESPONSE_KEPT_MAX_BYTES
    if (this.#keptBytes <= RESPONSE_KEPT_MAX_BYTES) return;
    this.#kept = undefined;
    this.#onUnjoinable?.();
  }

  #collect(body: Bytes, more: boolean): void {
    this.#kept?.push(body);
    this.#keptBytes += body.length;
    if (this.#keptBytes > RESPONSE_KEPT_MAX_BYTES) {
      this.#largeInstruct(more);
      return;
    }
    if (more) this.#grantDown();
    else {
      this.#dropBackend();
      this.#beginHandoff();
    }
  }

  /** A stream may begin with more than an accept carries: the proxy sends that part itself. */
  #largeInstruct(more: boolean): void {
    const { headers } = this.#head as ResponseHead;
    const kept = concatBytes(this.#kept ?? []);
    if (!mayStartStream(headers)) {
      const target = this.#target?.label ?? "";
      this.#answer(502, PROXY_ERROR, `GRIP instruct response too large from ${target}\n`);
      return;
    }
    const status = statusOf(this.#head as ResponseHead);
    if (status === undefined) {
      this.#answer(500, ACCEPT_ERROR);
      return;
    }
    if (this.#first.trace !== undefined) {
      this.#explain(`${status.code} ${status.reason}, relayed, then held as a stream`);
      return;
    }
    const shown = filterHeaders(
      this.#relayed(headers),
      (name) => name === "content-length" || name.startsWith("grip-"),
    );
    this.#isResponseSent = true;
    const instruct = this.#head as ResponseHead;
    this.#startRelaying({ ...status, headers: shown }, kept, true);
    this.#kept = undefined;
    this.#head = instruct;
    if (!more) this.#beginHandoff();
  }

  #finish(): void {
    const head = this.#head as ResponseHead;
    this.#dropBackend();
    for (const client of this.#clients) client.end({ code: head.code, bytes: client.bytes });
    this.#over();
  }

  /** The response broke off: never a clean end. */
  #cut(): void {
    for (const client of this.#clients) client.abort();
    this.#over();
  }

  // Handoff

  #beginHandoff(): void {
    this.#dropBackend();
    const { trace } = this.#first;
    if (trace !== undefined) {
      const head = this.#head;
      const kept = concatBytes(this.#kept ?? []);
      this.#explain(
        head === undefined
          ? "given to the handler, no backend is asked"
          : trace.instructed(head, kept, this.#target),
      );
      return;
    }
    this.#phase = "handing-off";
    this.#waitingFor = this.#clients.length;
    for (const client of [...this.#clients]) client.beginHandoff();
  }

  #callAccept(): void {
    const { info } = this.#first;
    const head = this.#head;
    const body = this.#isResponseSent ? "" : concatBytes(this.#kept ?? []);
    const { method, uri, headers } = info;
    const content = this.#body.content;
    this.#ports.accept(
      {
        states: this.#clients.map((client) => client.state()),
        route: this.#route,
        target: this.#target,
        requestData: { method, uri: this.#sentUri || uri },
        origRequestData: { method, uri, headers, body: content },
        inspect: this.#inspect,
        response:
          head === undefined
            ? undefined
            : { code: head.code, reason: head.reason, headers: head.headers, body },
        isResponseSent: this.#isResponseSent,
      },
      (outcome) => {
        if (this.#phase === "handing-off") this.#accepted(outcome);
      },
    );
  }

  #accepted(outcome: AcceptOutcome): void {
    if (outcome.kind === "accepted") {
      for (const client of this.#clients) client.handOver();
      this.#over();
      return;
    }
    for (const client of this.#clients) client.session.takeBack();
    if (this.#isResponseSent) {
      this.#continued(outcome);
      return;
    }
    if (outcome.kind === "response") {
      for (const client of this.#clients) client.answerWith(outcome.response);
      this.#over();
    } else if (outcome.kind === "bad-format")
      this.#answer(502, PROXY_ERROR, `Failed to parse accept instructions: ${outcome.detail}\n`);
    else this.#answer(500, ACCEPT_ERROR);
  }

  /** The handler did not take a response that has begun. */
  #continued(outcome: AcceptOutcome): void {
    if (outcome.kind === "nothing" || outcome.kind === "response") {
      for (const client of this.#clients) {
        client.write("", false);
        client.end({ code: client.code, bytes: client.bytes });
      }
      this.#over();
      return;
    }
    const text =
      outcome.kind === "bad-format"
        ? `Failed to parse accept instructions: ${outcome.detail}`
        : "Accept service unavailable";
    for (const client of this.#clients) {
      if (this.#debug) {
        client.write(`\n\n${text}\n`, false);
        client.end("error");
      } else client.abort();
    }
    this.#over();
  }

  /** An answer of the proxy itself, to all clients. */
  #answer(code: number, text: string, debugText = text): void {
    this.#dropBackend();
    const isOpen = this.#debug || this.#first.trace !== undefined;
    for (const client of this.#clients) client.answer(code, isOpen ? debugText : text);
    this.#over();
  }

  /** The client asked for the reasons; they go in the place of what it would have got. */
  #explain(answer: string): void {
    this.#dropBackend();
    for (const client of this.#clients)
      if (client.trace !== undefined) client.answerWith(client.trace.respond(answer));
    this.#over();
  }

  #over(): void {
    if (this.#phase === "done") return;
    this.#phase = "done";
    this.#clients = [];
    this.#onUnjoinable?.();
  }

  #dropBackend(): void {
    const backend = this.#backend;
    this.#backend = undefined;
    backend?.drop();
  }

  // Flow

  /** The client may send as much more as the backend took. */
  #grantUp(): void {
    const backend = this.#backend?.session;
    if (this.#ungrantedUp === 0 || backend === undefined) return;
    if (backend.queuedBytes > INITIAL_CREDITS / 2) return;
    const { session } = this.#first;
    // In halves of what it was granted first: a packet for each piece costs as much as the piece.
    if (session.inCredits > INITIAL_CREDITS / 2) return;
    session.grant(this.#ungrantedUp);
    this.#ungrantedUp = 0;
    this.#ports.pump(session);
  }

  /** The backend may send as much more as the slowest client took. */
  #grantDown(): void {
    const backend = this.#backend?.session;
    if (this.#ungrantedDown === 0 || backend === undefined || backend.ended) return;
    if (backend.inCredits > INITIAL_CREDITS / 2) return; // in halves, as above
    for (const { session } of this.#clients)
      if (session.queuedBytes > INITIAL_CREDITS / 2) return;
    backend.grant(this.#ungrantedDown);
    this.#ungrantedDown = 0;
    this.#ports.pump(backend);
  }

  #countServerSent(head: number, content: number): void {
    const { stats } = this.#ports;
    const { statsRoute } = this.#first;
    if (head > 0) stats.count(statsRoute, "serverHeaderBytesSent", head);
    if (content > 0) stats.count(statsRoute, "serverContentBytesSent", content);
  }

  #countServerReceived(head: number, content: number): void {
    const { stats } = this.#ports;
    const { statsRoute } = this.#first;
    if (head > 0) stats.count(statsRoute, "serverHeaderBytesReceived", head);
    if (content > 0) stats.count(statsRoute, "serverContentBytesReceived", content);
  }
}

/** Where and how the HTTP client connects. */
export function addressPacket(packet: Packet, target: Target): void {
  if (target.kind === "backend") {
    packet.connectHost = target.host;
    packet.connectPort = target.port;
  }
  packet.ignorePolicies = target.trusted;
  packet.ignoreTlsErrors = target.insecure;
  packet.trustConnectHost = target.trustConnectHost;
  packet.clientCert = target.clientCert;
  packet.clientKey = target.clientKey;
}

function isEvents(headers: readonly string[]): boolean {
  const type = getHeader(headers, "content-type") ?? "";
  return (type.split(";")[0] as string).trim().toLowerCase() === "application/websocket-events";
}

/** Whether the proxy may send the body of this instruct itself (proxy.md 3.13). */
function mayStartStream(headers: readonly string[]): boolean {
  const hold = getHeader(headers, "grip-hold");
  if (hold !== "stream") {
    if (hold !== undefined) return false;
    const links = getAllHeaders(headers, "grip-link").flatMap(splitList);
    const hasNext = links.some((one) =>
      parseParameters(one)?.parameters.some(([name, value]) => name === "rel" && value === "next"),
    );
    if (!hasNext) return false;
  }
  const channels = getAllHeaders(headers, "grip-channel").flatMap(splitList);
  return !channels.some((one) =>
    parseParameters(one)?.parameters.some(
      ([name, value]) => name === "filter" && value === "build-id",
    ),
  );
}

/** Status of the response by `Grip-Status`; undefined if that is malformed. */
function statusOf(head: ResponseHead): { code: number; reason: string } | undefined {
  const status = getHeader(head.headers, "grip-status");
  if (status === undefined) return { code: head.code, reason: head.reason };
  const match = /^(\d{1,3})(?: (.*))?$/.exec(status);
  if (match === null) return undefined;
  const code = Number(match[1]);
  return { code, reason: match[2] || reasonPhrase(code) };
}

