import { type VerificationKey, verifyToken } from "@pushpin/grip";
import { getHeader, hasHeader, parseParameters, removeHeader } from "@pushpin/http";
import type { Bytes } from "@pushpin/tnetstrings";
import { type Packet, PREFETCH_BYTES, type ResponseHead, type Session } from "@pushpin/zhttp";
import type { InspectResult, RequestState, RetryPacket } from "@pushpin/zrpc";
import { type JsonpRequest, readJsonpRequest } from "../jsonp-request.ts";
import { adHocRoute, type Route, type RouteTable } from "../routes/route-table.ts";
import { ownerOf, SiblingHandoff, type Siblings } from "../sockjs/sibling-handoff.ts";
import { type SockJsManager, sockJsPath } from "../sockjs/sockjs-manager.ts";
import { ClientRequest, type ClientRequestInfo } from "./client-request.ts";
import { HttpRelay } from "./http-relay.ts";
import type { RelayPorts } from "./ports.ts";
import { LateBody, Prefetch } from "./prefetch.ts";
import { REQUEST_BODY_KEPT_MAX_BYTES, RequestBody } from "./request-body.ts";
import { type ExplainFormat, RequestTrace } from "./request-trace.ts";
import { EXPLAIN_HEADER, logicalAddress, splitUri } from "./request-transform.ts";

const NOTICE =
  "Pushpin in TypeScript\nA GRIP proxy. Free software under the GNU Affero General Public License, version 3.\n";

export interface IntakeSettings {
  readonly acceptForwardedProtocol: boolean;
  readonly acceptPushpinRoute: boolean;
  readonly forwardedFor: readonly string[];
  readonly forwardedForTrusted: readonly string[];
  readonly upstreamKey: VerificationKey | undefined;
  /** The handler wants to see every request: equal ones share one request to the backend. */
  readonly shareAll: boolean;
  /** Absent where this worker is the only one. */
  readonly siblings?: Siblings | undefined;
}

interface Given {
  readonly method: string;
  readonly uri: string;
  readonly headers: string[];
}

/** Everything between a request's first packet and the backend (proxy.md 3.1). */
export class RequestIntake {
  readonly #ports: RelayPorts;
  #settings: IntakeSettings;
  readonly #sockJs: SockJsManager;
  readonly #routes: () => RouteTable;
  readonly #shared = new Map<string, { relay: HttpRelay; number: number; first: ClientRequest }>();
  #sharedCount = 0;

  constructor(
    ports: RelayPorts,
    settings: IntakeSettings,
    sockJs: SockJsManager,
    routes: () => RouteTable,
  ) {
    this.#ports = ports;
    this.#settings = settings;
    this.#sockJs = sockJs;
    this.#routes = routes;
  }

  /** For requests from now on. */
  configure(settings: IntakeSettings): void {
    this.#settings = settings;
  }

  /** The URI as the client meant it: a proxy in front may have taken the TLS off. */
  effectiveUri(uri: string, headers: readonly string[]): string {
    if (!this.#settings.acceptForwardedProtocol) return uri;
    const value =
      getHeader(headers, "x-forwarded-proto") || getHeader(headers, "x-forwarded-protocol");
    return value === "https" || value === "wss" ? uri.replace(/^(http|ws):/, "$1s:") : uri;
  }

  /** The route by id where the request names one, else by host and path (proxy.md 2.6, 2.7). */
  routeOf(kind: "http" | "ws", uri: string, headers: readonly string[]): Route | undefined {
    const { scheme, host, target } = splitUri(uri);
    const path = pathOf(target);
    if (this.#settings.acceptPushpinRoute) {
      const id = getHeader(headers, "pushpin-route");
      const named = id ? this.#routes().byId(id) : "shared";
      if (named !== "shared")
        return named !== undefined && path.startsWith(named.pathBegin) ? named : undefined;
    }
    return this.#routes().find(kind, scheme === "https" || scheme === "wss", host, path);
  }

  isTrusted(headers: readonly string[]): boolean {
    const { upstreamKey } = this.#settings;
    const token = upstreamKey === undefined ? undefined : getHeader(headers, "grip-sig");
    if (upstreamKey === undefined || token === undefined) return false;
    return verifyToken(token, upstreamKey, this.#ports.clock.wallMs());
  }

  addressOf(headers: readonly string[], peerAddress: string, isTrusted: boolean): string {
    const { forwardedFor, forwardedForTrusted } = this.#settings;
    return logicalAddress(headers, isTrusted ? forwardedForTrusted : forwardedFor, peerAddress);
  }

  /** A client's request; its session has taken the packet already. */
  request(session: Session, packet: Packet, route: Route | undefined): void {
    const headers = packet.headers ?? [];
    const isTrusted = this.isTrusted(headers);
    const autoCrossOrigin = this.#ports.autoCrossOrigin || route?.autoCrossOrigin === true;
    // One literal for almost all requests: copies of it would show in every profile.
    const info: ClientRequestInfo = {
      method: packet.method,
      uri: packet.uri,
      headers,
      route,
      peerAddress: packet.peerAddress,
      logicalAddress: this.addressOf(headers, packet.peerAddress, isTrusted),
      isTrusted,
      isInternal: false,
      isRetry: false,
      debug: this.#ports.debug || route?.debug === true,
      autoCrossOrigin,
      jsonp: undefined,
      unreportedMs: undefined,
      userData: packet.userData,
    };
    const isExplainable = info.debug || this.#settings.upstreamKey !== undefined;
    const trace = isExplainable ? this.#trace(info, route, packet.peerAddress, isTrusted) : undefined;
    const body = new RequestBody();
    const path = sockJsPath(route, packet.uri);
    if (trace !== undefined && path !== undefined) {
      this.#client(session, info).answerWith(
        trace.respond("the proxy answers: an endpoint of SockJS"),
      );
      return;
    }
    if (route !== undefined && path !== undefined) {
      // Only the WebSocket it stands for is logged and counted.
      const client = this.#client(session, { ...info, isInternal: true, autoCrossOrigin: false });
      body.add(packet.body, packet.more);
      new Prefetch(client, body, REQUEST_BODY_KEPT_MAX_BYTES + 1, () =>
        this.#sockJsRequest(client, route, path, body),
      ).start();
      return;
    }
    const jsonp = autoCrossOrigin ? this.#jsonp(info, route) : NO_JSONP;
    if (!jsonp.ok) {
      // Statistics do not know requests that never were any.
      this.#client(session, { ...info, route: undefined }).answer(400, `${jsonp.error}\n`);
      return;
    }
    const { value: asked } = jsonp;
    const client = this.#client(session, asked === undefined ? info : inPlaceOf(info, asked));
    client.trace = trace;
    if (hasHeader(headers, "pushpin-check")) {
      client.answer(200, NOTICE);
      return;
    }
    if (route === undefined) {
      client.answer(502, "Route not found\n");
      return;
    }
    if (asked?.body !== undefined) body.add(asked.body, false);
    else body.add(packet.body, packet.more);
    const getSession = route.session;
    const isInspected = getSession || this.#settings.shareAll;
    const go = () => {
      if (!isInspected) this.#relay(client, route, body, undefined);
      else this.#inspect(client, route, body, getSession, false);
    };
    if (body.isComplete) go();
    else new Prefetch(client, body, PREFETCH_BYTES, go).start();
  }

  /** All requests of a session over polls meet at one worker, wherever they come in. */
  #sockJsRequest(client: ClientRequest, route: Route, path: string, body: RequestBody): void {
    const { siblings } = this.#settings;
    const key =
      siblings === undefined || !body.isComplete || !body.isKept
        ? undefined
        : this.#sockJs.sessionKey(route, path);
    const owner = key === undefined ? undefined : ownerOf(key, siblings?.count ?? 1);
    if (siblings === undefined || owner === undefined || owner === siblings.slot)
      this.#sockJs.request(client, route, path, body);
    else new SiblingHandoff(client, body, (retry) => siblings.handOver(owner, retry)).start();
  }

  /** A request of the handler (proxy.md 3.18). */
  internal(session: Session, packet: Packet): void {
    const { passthrough } = packet;
    const headers = packet.headers ?? [];
    const named = passthrough?.get("route");
    const isTrustedTarget = passthrough?.get("trusted") === true;
    const found = typeof named === "string" ? this.#routes().byId(named) : undefined;
    let route = found === "shared" ? undefined : found;
    const isGone = typeof named === "string" && named !== "" && route === undefined;
    const path = pathOf(splitUri(packet.uri).target);
    if (passthrough?.get("prefer-internal") !== true || route === undefined || !path.startsWith(route.pathBegin))
      route = adHocRoute(packet.uri, route, isTrustedTarget);
    const client = this.#client(session, {
      method: packet.method,
      uri: packet.uri,
      headers,
      route,
      peerAddress: "",
      logicalAddress: "",
      isTrusted: false,
      isInternal: true,
      isRetry: false,
      debug: this.#ports.debug,
      autoCrossOrigin: false,
      jsonp: undefined,
      unreportedMs: undefined,
      userData: undefined,
    });
    if (isGone || route === undefined) {
      client.answer(502, "Route not found\n");
      return;
    }
    const body = new RequestBody();
    body.add(packet.body, packet.more);
    if (passthrough?.get("auto-share") === true)
      this.#inspect(client, route, body, false, true);
    else this.#relay(client, route, body, undefined);
  }

  /** Held requests that the handler gives back (proxy.md 3.17). */
  retry(retry: RetryPacket, resume: (state: RequestState) => Session | undefined): void {
    const { requestData, inspect, route: id, requests } = retry;
    const named = id === undefined ? undefined : this.#routes().byId(id);
    const route =
      named === undefined || named === "shared"
        ? this.routeOf("http", requestData.uri, requestData.headers)
        : named;
    const isTrusted = this.isTrusted(requestData.headers);
    // The handler never has requests of SockJS: another worker gives its own away.
    const path = sockJsPath(route, requestData.uri);
    for (const state of requests) {
      const peerAddress = state.peerAddress ?? "";
      const session = resume(state);
      if (session === undefined) continue;
      const client = this.#client(session, {
        method: requestData.method,
        uri: requestData.uri,
        headers: requestData.headers,
        route,
        peerAddress,
        logicalAddress: this.addressOf(requestData.headers, peerAddress, isTrusted),
        isTrusted,
        isInternal: path !== undefined,
        isRetry: path === undefined,
        debug: state.debug ?? false,
        autoCrossOrigin: state.autoCrossOrigin ?? false,
        jsonp:
          state.jsonpCallback === undefined
            ? undefined
            : {
                callback: state.jsonpCallback,
                isExtended: state.jsonpExtendedResponse ?? false,
              },
        unreportedMs: state.unreportedTimeMs ?? 0,
        userData: state.userData,
      });
      if (route === undefined) {
        client.answer(502, "Route not found\n");
        continue;
      }
      const body = new RequestBody();
      body.add(requestData.body, false);
      if (path === undefined) this.#relay(client, route, body, inspect);
      else this.#sockJs.request(client, route, path, body);
    }
  }

  /** A WebSocket whose client wants to know why instead: the response, without asking anybody. */
  explainWebSocket(
    given: Given,
    route: Route | undefined,
    peerAddress: string,
  ): (ResponseHead & { readonly body: Bytes }) | undefined {
    const isDebug = this.#ports.debug || route?.debug === true;
    if (!isDebug && this.#settings.upstreamKey === undefined) return undefined;
    return this.#trace(given, route, peerAddress, this.isTrusted(given.headers))?.respond(
      route === undefined ? "502 Route not found" : "nobody was asked for a WebSocket",
    );
  }

  /**
   * `Pushpin-Explain: text` or `json`, on routes with `debug`; elsewhere with `; sig=TOKEN`, a token
   * by the upstream key. A `Grip-Sig` is not enough: a proxy in front adds it to anybody's request.
   */
  #trace(
    given: Given,
    route: Route | undefined,
    peerAddress: string,
    isTrusted: boolean,
  ): RequestTrace | undefined {
    const value = getHeader(given.headers, EXPLAIN_HEADER);
    const asked = value === undefined ? undefined : parseParameters(value);
    if (asked === undefined) return undefined;
    const { upstreamKey } = this.#settings;
    const token = asked.parameters.find(([name]) => name === "sig")?.[1];
    const isSigned =
      upstreamKey !== undefined &&
      token !== undefined &&
      verifyToken(token, upstreamKey, this.#ports.clock.wallMs());
    if (!isSigned && !this.#ports.debug && route?.debug !== true) return undefined;
    const format: ExplainFormat = asked.value.toLowerCase() === "json" ? "json" : "text";
    const request = {
      method: given.method,
      uri: given.uri,
      headers: removeHeader(given.headers, EXPLAIN_HEADER),
      peerAddress,
      isTrusted,
    };
    const settings = this.#ports.explainSettings(isSigned);
    return new RequestTrace(format, request, this.#routes(), settings, route);
  }

  #client(session: Session, info: ClientRequestInfo): ClientRequest {
    const client = new ClientRequest(this.#ports, session, info);
    this.#ports.register(client);
    return client;
  }

  #jsonp(given: Given, route: Route | undefined) {
    const settings = route?.jsonp ?? DEFAULT_JSONP;
    return readJsonpRequest(given.method, given.uri, given.headers, settings);
  }

  #inspect(
    client: ClientRequest,
    route: Route,
    body: RequestBody,
    getSession: boolean,
    autoShare: boolean,
  ): void {
    const late = new LateBody(client, body);
    this.#ports.inspect(
      {
        method: client.info.method,
        uri: client.info.uri,
        headers: client.info.headers,
        body: body.content,
        isTruncated: !body.isComplete,
        getSession,
        autoShare,
      },
      (result) => {
        if (late.isGone) return;
        if (result?.noProxy) this.#unproxied(client, route, body, result);
        else this.#relay(client, route, body, result);
      },
    );
  }

  /** The handler answers this one without a backend: it gets the whole request. */
  #unproxied(client: ClientRequest, route: Route, body: RequestBody, inspect: InspectResult): void {
    new Prefetch(client, body, REQUEST_BODY_KEPT_MAX_BYTES + 1, () => {
      if (body.bytes > REQUEST_BODY_KEPT_MAX_BYTES)
        client.answer(413, `Body must not exceed ${REQUEST_BODY_KEPT_MAX_BYTES} bytes\n`);
      else new HttpRelay(this.#ports, route, client, body, inspect).giveAway();
    }).start();
  }

  #relay(
    client: ClientRequest,
    route: Route,
    body: RequestBody,
    inspect: InspectResult | undefined,
  ): void {
    client.trace?.inspected(inspect);
    const isShareable = body.isComplete && body.isKept && client.trace === undefined;
    const key = isShareable ? (inspect?.sharingKey ?? "") : "";
    if (key === "") {
      new HttpRelay(this.#ports, route, client, body, inspect).start();
      return;
    }
    const scope = `${route.id}\n${key}`;
    const running = this.#shared.get(scope);
    if (running !== undefined) {
      running.first.shared = running.number;
      client.shared = running.number;
      running.relay.join(client);
      return;
    }
    this.#sharedCount += 1;
    const relay = new HttpRelay(this.#ports, route, client, body, inspect, () => {
      if (this.#shared.get(scope)?.relay === relay) this.#shared.delete(scope);
    });
    this.#shared.set(scope, { relay, number: this.#sharedCount, first: client });
    relay.start();
  }
}

const NO_JSONP = { ok: true as const, value: undefined };

/** The request that a JSON-P request stands for. */
function inPlaceOf(info: ClientRequestInfo, asked: JsonpRequest): ClientRequestInfo {
  const { method, uri, headers, jsonp } = asked;
  return { ...info, method, uri, headers, jsonp };
}

const DEFAULT_JSONP = {
  isExtended: true,
  callbackParameter: "callback",
  bodyParameter: "",
  defaultCallback: "",
  defaultMethod: "GET",
};

function pathOf(target: string): string {
  const query = target.indexOf("?");
  return query < 0 ? target : target.slice(0, query);
}
