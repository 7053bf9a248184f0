import { randomUUID } from "node:crypto";
import { type Packet, readResume, Session } from "@pushpin/zhttp";
import type { RequestIntake } from "../relay/request-intake.ts";
import type { Route, RouteTable } from "../routes/route-table.ts";
import { type SockJsManager, sockJsPath, type VirtualSocket } from "../sockjs/sockjs-manager.ts";
import { decodeSocketAnchor, type SocketAnchor } from "./socket-anchor.ts";
import type { SocketClient, SocketClientEvents } from "./socket-ports.ts";
import { type SocketPorts, SocketRelay } from "./socket-relay.ts";
import { ZwsClient } from "./zws-client.ts";
import { SERVICE_RESTART } from "./zws-origin.ts";

export interface SocketIntakeOptions {
  readonly ports: SocketPorts;
  /** Reads routes and addresses from the same headers. */
  readonly requests: RequestIntake;
  readonly sockJs: SockJsManager;
  readonly routes: () => RouteTable;
}

/** How a WebSocket begins: a client's own, one of SockJS, or one of the proxy before us. */
export class SocketIntake {
  readonly #options: SocketIntakeOptions;

  constructor(options: SocketIntakeOptions) {
    this.#options = options;
  }

  /** A client's request for a WebSocket. */
  request(session: Session, packet: Packet): void {
    const { ports, requests, sockJs } = this.#options;
    const headers = packet.headers ?? [];
    const uri = requests.effectiveUri(packet.uri, headers);
    const route = requests.routeOf("ws", uri, headers);
    session.keepAlive();
    ports.pump(session);
    const given = { method: packet.method, uri, headers };
    const explanation = requests.explainWebSocket(given, route, packet.peerAddress);
    if (explanation !== undefined) {
      session.reject(explanation, explanation.body);
      ports.pump(session);
      return;
    }
    const path = sockJsPath(route, uri);
    if (route === undefined || path === undefined) {
      const relay = this.#relay(uri, headers, route, packet.peerAddress);
      relay.start(new ZwsClient(ports, session, relay.clientEvents));
      return;
    }
    const kind = sockJs.webSocket(path);
    if (kind === undefined) {
      session.reject(
        { code: 404, reason: "Not Found", headers: ["Content-Type", "text/plain"] },
        "Not Found\n",
      );
      ports.pump(session);
      return;
    }
    const virtual = sockJs.virtualUri(route, uri, true);
    const relay = this.#relay(virtual, headers, route, packet.peerAddress);
    if (kind === "raw") {
      relay.start(new ZwsClient(ports, session, relay.clientEvents));
      return;
    }
    const framed = sockJs.framed(relay.clientEvents);
    framed.lower = new ZwsClient(ports, session, framed.lowerEvents);
    relay.start(framed);
  }

  /** A WebSocket for a SockJS session over polls. */
  openVirtual(
    request: VirtualSocket,
    makeClient: (events: SocketClientEvents) => SocketClient,
  ): void {
    const { uri, headers, route, peerAddress } = request;
    const relay = this.#relay(uri, headers, route, peerAddress);
    relay.start(makeClient(relay.clientEvents));
  }

  /** A connection manager hands us a WebSocket of the proxy before us. */
  resume(packet: Packet, nowMs: number): void {
    const { ports, sockJs } = this.#options;
    const resumable = readResume(packet, ports.instanceId, nowMs);
    if (resumable === undefined) return;
    const session = Session.resume(resumable);
    session.batch = true;
    const anchor = decodeSocketAnchor(resumable.anchor);
    if (anchor !== undefined && resumable.kind === "websocket") {
      const { request } = anchor;
      const relay = new SocketRelay(ports, { ...request, route: this.#routeOf(anchor) });
      const framed = anchor.isFramed ? sockJs.framed(relay.clientEvents) : undefined;
      const client = new ZwsClient(ports, session, framed?.lowerEvents ?? relay.clientEvents);
      if (framed !== undefined) framed.lower = client;
      if (relay.resume(framed ?? client, anchor, resumable)) {
        framed?.resume();
        ports.pump(session);
        return;
      }
      ports.unregister(client);
    }
    ports.log.debug("WebSocket of the proxy before us given up", { id: session.id });
    session.close(SERVICE_RESTART, "");
    ports.pump(session);
    session.forget();
  }

  #relay(
    uri: string,
    headers: string[],
    route: Route | undefined,
    peerAddress: string,
  ): SocketRelay {
    const { ports, requests } = this.#options;
    const isTrusted = requests.isTrusted(headers);
    return new SocketRelay(ports, {
      uri,
      headers,
      route,
      peerAddress,
      logicalAddress: requests.addressOf(headers, peerAddress, isTrusted),
      isTrusted,
      debug: ports.debug || route?.debug === true,
      connectionId: randomUUID(),
    });
  }

  #routeOf({ route: id, request }: SocketAnchor): Route | undefined {
    const { requests, routes } = this.#options;
    const named = id === undefined ? undefined : routes().byId(id);
    return named === undefined || named === "shared"
      ? requests.routeOf("ws", request.uri, request.headers)
      : named;
  }
}
