import { filterHeaders } from "@pushpin/http";
import { INITIAL_CREDITS, Packet, type Session } from "@pushpin/zhttp";
import type { Route } from "../routes/route-table.ts";
import type { RelayPorts, SessionEnd } from "./ports.ts";
import { addressTo } from "./request-transform.ts";

const HANDSHAKE = (name: string) => name.startsWith("sec-websocket-ext");

/** A client's WebSocket passed through to a backend's, frame by frame. */
export class WebSocketRelay implements SessionEnd {
  readonly session: Session;
  keepAliveSlot?: number;
  readonly #ports: RelayPorts;
  readonly #first: Packet;
  readonly #route: Route | undefined;
  #backend: (SessionEnd & { keepAliveSlot?: number }) | undefined;
  #targetIndex = -1;
  #accepted = false;
  #ended = false;
  #ungrantedUp = 0;
  #ungrantedDown = 0;

  constructor(ports: RelayPorts, session: Session, first: Packet, route: Route | undefined) {
    this.#ports = ports;
    this.session = session;
    this.#first = first;
    this.#route = route;
  }

  start(): void {
    if (this.#route === undefined) this.#reject(502, "Bad Gateway", [], "Route not found\n");
    else this.#nextTarget();
  }

  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    this.#forward(this.session.receive(packet, seq, nowMs), packet, this.#backend?.session, true);
    this.#ports.pump(this.session);
    this.#grant();
  }

  expired(): void {
    this.#drop();
  }

  #nextTarget(): void {
    const route = this.#route as Route;
    this.#targetIndex += 1;
    const target = route.targets[this.#targetIndex];
    if (target === undefined) {
      const tried = route.targets.map((one) => one.label).join(", ");
      const text =
        this.#ports.debug || route.debug
          ? `Unable to connect to any targets. Tried: ${tried}\n`
          : "Error while proxying to origin.\n";
      this.#reject(502, "Bad Gateway", [], text);
      return;
    }
    if (target.kind === "test") {
      this.#reject(404, "Not Found", ["Content-Type", "text/plain"], "no such test resource\n");
      return;
    }
    const named = filterHeaders(this.#first.headers ?? [], HANDSHAKE);
    const headers = this.#ports.transform(
      {
        method: "GET",
        uri: this.#first.uri,
        headers: named,
        peerAddress: this.#first.peerAddress,
        signature: this.#ports.signature(route),
        lastIds: undefined,
      },
      route,
    );
    const addressed = addressTo(target, route, this.#first.uri, headers, true);
    if (addressed === undefined) {
      this.#reject(502, "Bad Gateway", [], "Error while proxying to origin.\n");
      return;
    }
    const packet = new Packet();
    packet.uri = addressed.uri;
    packet.headers = addressed.headers;
    packet.connectHost = target.host;
    packet.connectPort = target.port;
    packet.ignorePolicies = target.trusted;
    packet.ignoreTlsErrors = target.insecure;
    packet.trustConnectHost = target.trustConnectHost;
    const session = this.#ports.openBackend("websocket", INITIAL_CREDITS);
    this.#backend = {
      session,
      packet: (one, seq, nowMs) => this.#backendPacket(one, seq, nowMs),
      expired: () => this.#drop(),
    };
    this.#ports.register(this.#backend);
    session.open(packet);
    this.#ports.pump(session);
  }

  #backendPacket(packet: Packet, seq: number | undefined, nowMs: number): void {
    const backend = this.#backend;
    if (backend === undefined) return;
    const received = backend.session.receive(packet, seq, nowMs);
    if (received === "data" && !this.#accepted) {
      this.#accepted = true;
      const headers = filterHeaders(packet.headers ?? [], HANDSHAKE);
      this.session.respond({ code: 101, reason: packet.reason, headers }, "", false);
      this.#log(101, 0);
    } else if (
      !this.#accepted &&
      (received === "error" || received === "cancel" || received === "failed")
    ) {
      this.#refused(packet, received);
      return;
    } else this.#forward(received, packet, this.session, false);
    this.#ports.pump(this.session);
    if (this.#backend !== undefined) this.#ports.pump(this.#backend.session);
    this.#grant();
  }

  #refused(packet: Packet, received: string): void {
    this.#forgetBackend();
    if (received === "error" && packet.condition === "rejected" && packet.code !== undefined)
      this.#reject(
        packet.code,
        packet.reason,
        filterHeaders(packet.headers ?? [], (name) => name === "content-length"),
        packet.body,
      );
    else if (
      received === "error" &&
      /^(remote-connection-failed|connection-timeout|tls-error)$/.test(packet.condition)
    )
      this.#nextTarget();
    else this.#reject(502, "Bad Gateway", [], "Error while proxying to origin.\n");
  }

  #forward(received: string, packet: Packet, to: Session | undefined, isFromClient: boolean): void {
    const bytes = packet.body.length;
    switch (received) {
      case "data":
        to?.message(packet.contentType === "binary" ? "binary" : "text", packet.body, packet.more);
        break;
      case "ping":
        to?.ping(packet.body);
        break;
      case "pong":
        to?.pong(packet.body);
        break;
      case "close":
        to?.close(packet.code, packet.body);
        break;
      case "error":
      case "cancel":
      case "failed":
        this.#drop();
        return;
      default:
        return;
    }
    if (isFromClient) this.#ungrantedUp += bytes;
    else this.#ungrantedDown += bytes;
    if (to !== undefined) this.#ports.pump(to);
    this.#endIfClosed();
  }

  #grant(): void {
    const backend = this.#backend?.session;
    if (
      this.#ungrantedUp > 0 &&
      backend !== undefined &&
      backend.queuedBytes < INITIAL_CREDITS / 2
    ) {
      this.session.grant(this.#ungrantedUp);
      this.#ungrantedUp = 0;
      this.#ports.pump(this.session);
    }
    if (
      this.#ungrantedDown > 0 &&
      backend !== undefined &&
      this.session.queuedBytes < INITIAL_CREDITS / 2
    ) {
      backend.grant(this.#ungrantedDown);
      this.#ungrantedDown = 0;
      this.#ports.pump(backend);
    }
    this.#endIfClosed();
  }

  #endIfClosed(): void {
    if (!this.session.ended || this.#ended) return;
    this.#ended = true;
    if (this.#backend?.session.ended === false) {
      this.#backend.session.cancel();
      this.#ports.pump(this.#backend.session);
    }
    this.#forgetBackend();
    this.#ports.unregister(this);
  }

  #drop(): void {
    for (const session of [this.session, this.#backend?.session]) {
      if (session === undefined || session.ended) continue;
      session.cancel();
      this.#ports.pump(session);
    }
    this.#ended = true;
    this.#forgetBackend();
    this.#ports.unregister(this);
  }

  #forgetBackend(): void {
    if (this.#backend !== undefined) this.#ports.unregister(this.#backend);
    this.#backend = undefined;
  }

  #reject(code: number, reason: string, headers: string[], body: string | Uint8Array): void {
    this.session.reject({ code, reason, headers }, body);
    this.#ports.pump(this.session);
    this.#log(code, body.length);
    this.#ended = true;
    this.#ports.unregister(this);
  }

  #log(code: number, bytes: number): void {
    this.#ports.logRequest({
      method: "GET",
      uri: this.#first.uri,
      target:
        this.#route?.targets[Math.min(this.#targetIndex, (this.#route?.targets.length ?? 1) - 1)]
          ?.label,
      route: this.#route,
      referer: undefined,
      userAgent: undefined,
      address: this.#first.peerAddress,
      outcome: { code, bytes },
      isRetry: false,
    });
  }
}
