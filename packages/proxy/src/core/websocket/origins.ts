import { filterHeaders } from "@pushpin/http";
import { INITIAL_CREDITS, Packet } from "@pushpin/zhttp";
import { addressPacket } from "../relay/http-relay.ts";
import type { RelayPorts } from "../relay/ports.ts";
import { addressTo } from "../relay/request-transform.ts";
import type { Route, Target } from "../routes/route-table.ts";
import { type OverHttpShared, WebSocketOverHttp } from "../websocket-over-http/websocket-over-http.ts";
import type { SocketOrigin, SocketOriginEvents } from "./socket-ports.ts";
import type { SocketRequest } from "./socket-relay.ts";
import { TestOrigin } from "./test-origin.ts";
import { ReconnectingOrigin } from "./reconnecting-origin.ts";
import type { StreamBase } from "./socket-anchor.ts";
import { ZwsOrigin, type ZwsOriginEvents } from "./zws-origin.ts";

/** The backend's side of a client's WebSocket; undefined where the path edits leave no valid path. */
export function openOrigin(
  ports: RelayPorts,
  overHttp: OverHttpShared,
  target: Target,
  request: SocketRequest,
  events: SocketOriginEvents,
): SocketOrigin | undefined {
  const route = request.route as Route;
  if (target.kind === "test") return new TestOrigin(request.uri, route, events);
  const headers = handshakeHeaders(ports, request, route);
  const addressed = addressTo(target, route, request.uri, headers, !target.overHttp);
  if (addressed === undefined) return undefined;
  if (target.overHttp)
    return new WebSocketOverHttp(
      ports,
      {
        shared: overHttp,
        target,
        uri: addressed.uri,
        headers: addressed.headers,
        connectionId: request.connectionId,
        signature: () => ports.signature(route),
      },
      events,
    );
  const dial = (events: ZwsOriginEvents, base?: StreamBase) => {
    const first = new Packet();
    first.uri = addressed.uri;
    first.headers = addressed.headers;
    addressPacket(first, target);
    const session = ports.openBackend("websocket", INITIAL_CREDITS, target);
    return new ZwsOrigin(ports, session, first, events, base);
  };
  // A service of its own does not tell of its successors.
  return route.reconnect && target.kind === "backend"
    ? new ReconnectingOrigin(ports, dial, events)
    : dial(events);
}

/** Header list of the handshake towards the backend (proxy.md 5.1). */
function handshakeHeaders(ports: RelayPorts, request: SocketRequest, route: Route): string[] {
  const own = filterHeaders(request.headers, (name) => name === "sec-websocket-extensions");
  const headers = ports.transform(
    {
      uri: request.uri,
      headers: own,
      peerAddress: request.peerAddress,
      trustedClient: request.isTrusted,
      isInternal: false,
      signature: request.isTrusted || route.noGrip ? "" : ports.signature(route),
      sid: undefined,
      lastIds: undefined,
    },
    route,
  );
  if (!route.noGrip) headers.push("Sec-WebSocket-Extensions", "grip");
  return headers;
}
