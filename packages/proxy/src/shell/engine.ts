import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Clock } from "@pushpin/clock";
import type { ProxySettings } from "@pushpin/config";
import { parseKey, Signer, type SigningKey } from "@pushpin/grip";
import { getHeader } from "@pushpin/http";
import type { Logger } from "@pushpin/log";
import { decode, detach, toUtf8 } from "@pushpin/tnetstrings";
import {
  INITIAL_CREDITS,
  KeepAliveSchedule,
  type Kind,
  type Packet,
  Session,
} from "@pushpin/zhttp";
import type { InitiatorSockets, ResponderSockets } from "@pushpin/zhttp/sockets";
import {
  decodeAcceptResult,
  decodeRetryPacket,
  encodeAcceptRequest,
  type RpcResult,
} from "@pushpin/zrpc";
import type { RpcClient } from "@pushpin/zrpc/sockets";
import { renderAccessLine } from "../core/access-log.ts";
import { HttpRelay, type RelayRequest } from "../core/relay/http-relay.ts";
import type { AcceptCall, AcceptOutcome, RelayPorts, SessionEnd } from "../core/relay/ports.ts";
import {
  splitUri,
  type TransformSettings,
  transformHeaders,
} from "../core/relay/request-transform.ts";
import { WebSocketRelay } from "../core/relay/websocket-relay.ts";
import type { Route, RouteTable } from "../core/routes/route-table.ts";

export interface EngineOptions {
  readonly instanceId: string;
  readonly settings: ProxySettings;
  readonly configDirectory: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly clients: () => ResponderSockets;
  readonly backends: () => InitiatorSockets;
  readonly acceptCalls: () => RpcClient;
}

/** All requests on their way through this process. */
export class Engine {
  routes!: RouteTable;
  readonly #options: EngineOptions;
  readonly #ends = new Map<string, SessionEnd>();
  readonly #keepAlive = new KeepAliveSchedule<SessionEnd>();
  readonly #signer = new Signer();
  readonly #keys = new Map<string, SigningKey | undefined>();
  readonly #transform: TransformSettings;
  readonly #ports: RelayPorts;
  readonly #timer: NodeJS.Timeout;
  #nextId = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    const { settings } = options;
    const forwarded = settings.set_x_forwarded_protocol;
    this.#transform = {
      acceptForwardedProtocol: settings.accept_x_forwarded_protocol,
      setForwardedProtocol:
        forwarded === "true" ? "both" : forwarded === "proto-only" ? "proto-only" : "none",
      forwardedFor: settings.x_forwarded_for,
      cdnLoop: settings.cdn_loop,
      acceptPushpinRoute: settings.accept_pushpin_route,
    };
    this.#ports = this.#makePorts();
    this.#timer = setInterval(() => this.#tick(), 1000);
  }

  /** The first packet of a client's session. */
  first(packet: Packet): void {
    if (packet.from === "" || packet.id === "" || packet.ids !== undefined) return;
    const key = keyOf(packet.from, packet.id);
    const isWebSocket = /^wss?:/.test(packet.uri);
    if (packet.type !== "data" || this.#ends.has(key)) return;
    const kind: Kind = isWebSocket ? "websocket" : "http";
    const nowMs = this.#options.clock.nowMs();
    const session = new Session({
      role: "responder",
      kind,
      from: this.#options.instanceId,
      id: detach(packet.id),
      peer: detach(packet.from),
      nowMs,
      credits: isWebSocket ? INITIAL_CREDITS : 0,
    });
    if (
      !/^(https?|wss?):\/\//.test(packet.uri) ||
      session.receive(packet, packet.seq, nowMs) !== "data" ||
      (!isWebSocket && !packet.stream)
    ) {
      session.fail("bad-request");
      this.pump(session);
      return;
    }
    const route = this.#route(packet, isWebSocket);
    if (isWebSocket) {
      const relay = new WebSocketRelay(this.#ports, session, packet, route);
      this.#register(relay);
      relay.start();
      return;
    }
    session.acknowledge(packet.more ? INITIAL_CREDITS : 0);
    this.pump(session);
    this.#relay(session, route, {
      method: packet.method,
      uri: packet.uri,
      headers: packet.headers ?? [],
      body: packet.body,
      bodyComplete: !packet.more,
      peerAddress: packet.peerAddress,
      isRetry: false,
      inspect: undefined,
    });
  }

  /** A follow-up of a client's or a backend's session. */
  packet(packet: Packet): void {
    const nowMs = this.#options.clock.nowMs();
    for (const { id, seq } of packet.ids ?? [packet]) {
      // Sessions to backends are ours by id alone; those of clients belong to a connection manager.
      const end = this.#ends.get(keyOf(packet.from, id)) ?? this.#ends.get(keyOf("", id));
      end?.packet(packet, seq, nowMs);
    }
  }

  /** Held requests that the handler gives back. */
  retry(frame: Uint8Array): void {
    const decoded = decode(frame);
    const retry =
      decoded.ok && decoded.value instanceof Map ? decodeRetryPacket(decoded.value) : undefined;
    if (retry === undefined || !retry.ok) {
      this.#options.log.warn("malformed retry dropped", {
        error: retry?.ok === false ? retry.error : "not a map",
      });
      return;
    }
    const { requestData, inspect, route: routeId, requests } = retry.value;
    for (const state of requests) {
      const session = Session.resume({
        kind: "http",
        from: this.#options.instanceId,
        peer: state.rid.sender,
        id: state.rid.id,
        inSeq: state.inSeq,
        outSeq: state.outSeq,
        outCredits: state.outCredits,
        routerResp: state.routerResp ?? false,
        nowMs: this.#options.clock.nowMs(),
      });
      this.pump(session);
      const named = routeId === undefined ? undefined : this.routes.byId(routeId);
      const parts = splitUri(requestData.uri);
      const route =
        named !== undefined && named !== "shared"
          ? named
          : this.routes.find(
              "http",
              parts.scheme === "https",
              parts.host,
              parts.target.split("?")[0] as string,
            );
      this.#relay(session, route, {
        ...requestData,
        bodyComplete: true,
        peerAddress: state.peerAddress ?? "",
        isRetry: true,
        inspect,
      });
    }
  }

  #relay(session: Session, route: Route | undefined, request: RelayRequest): void {
    const relay = new HttpRelay(this.#ports, session, request, route);
    this.#register(relay);
    relay.start();
  }

  #route(packet: Packet, isWebSocket: boolean): Route | undefined {
    const { scheme, host, target } = splitUri(packet.uri);
    let secure = scheme === "https" || scheme === "wss";
    if (this.#transform.acceptForwardedProtocol) {
      const value =
        getHeader(packet.headers ?? [], "x-forwarded-proto") ||
        getHeader(packet.headers ?? [], "x-forwarded-protocol");
      if ((value === "https" || value === "wss") && !secure) {
        secure = true;
        packet.uri = packet.uri.replace(/^(http|ws):/, "$1s:");
      }
    }
    const path = target.split("?")[0] as string;
    if (this.#transform.acceptPushpinRoute) {
      const id = getHeader(packet.headers ?? [], "pushpin-route");
      const named = id ? this.routes.byId(id) : "shared";
      if (named !== "shared")
        return named !== undefined && path.startsWith(named.pathBegin) ? named : undefined;
    }
    return this.routes.find(isWebSocket ? "ws" : "http", secure, host, path);
  }

  pump(session: Session): void {
    const { clients, backends, log } = this.#options;
    for (;;) {
      const isFirst = session.outSeq === 0;
      const packet = session.takePacket();
      if (packet === undefined) return;
      if (log.isDebug)
        log.debug("packet out", {
          to: session.peer,
          id: packet.id,
          type: packet.type,
          seq: packet.seq,
          code: packet.code,
        });
      if (session.role === "responder") clients().send(session.peer, packet, session.routerResp);
      else if (isFirst) backends().sendFirst(packet);
      else backends().send(session.peer, packet);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const end of [...this.#ends.values()]) {
      end.session.cancel();
      this.pump(end.session);
    }
  }

  #makePorts(): RelayPorts {
    const { settings, instanceId, clock, log } = this.#options;
    const logSettings = { logFrom: settings.log_from, logUserAgent: settings.log_user_agent };
    return {
      debug: settings.debug,
      instanceId,
      nowMs: () => clock.nowMs(),
      openBackend: (kind, credits) => {
        this.#nextId += 1;
        return new Session({
          role: "initiator",
          kind,
          from: instanceId,
          id: this.#nextId.toString(36),
          nowMs: clock.nowMs(),
          credits,
          offerRouter: false,
        });
      },
      register: (end) => this.#register(end),
      unregister: (end) => this.#unregister(end),
      pump: (session) => this.pump(session),
      signature: (route) => this.#signature(route),
      transform: (request, route) =>
        transformHeaders({ ...request, trustedClient: false }, route, this.#transform),
      accept: (call, done) => this.#accept(call, done),
      logRequest: (entry) => {
        if (log.level >= 2) log.info(toUtf8(renderAccessLine(entry, logSettings)));
      },
    };
  }

  #register(end: SessionEnd): void {
    const { session } = end;
    this.#ends.set(keyOf(session.role === "responder" ? session.peer : "", session.id), end);
    this.#keepAlive.add(end);
  }

  #unregister(end: SessionEnd): void {
    const { session } = end;
    const key = keyOf(session.role === "responder" ? session.peer : "", session.id);
    if (this.#ends.get(key) === end) this.#ends.delete(key);
    this.#keepAlive.remove(end);
  }

  #signature(route: Route): string {
    const { settings, clock, log } = this.#options;
    const issuer = route.sigIssuer ?? settings.sig_iss;
    const text = route.sigKey ?? settings.sig_key;
    if (issuer === "" || text === "") return "";
    if (!this.#keys.has(text)) {
      try {
        this.#keys.set(
          text,
          parseKey(text, (path) =>
            readFileSync(resolve(dirname(`${this.#options.configDirectory}/x`), path)),
          ),
        );
      } catch (error) {
        log.error("signing key not usable", { error: (error as Error).message });
        this.#keys.set(text, undefined);
      }
    }
    const key = this.#keys.get(text);
    return key === undefined ? "" : this.#signer.token(issuer, key, clock.wallMs());
  }

  #accept(call: AcceptCall, done: (outcome: AcceptOutcome) => void): void {
    const { route, target } = call;
    const args = encodeAcceptRequest({
      requests: call.states,
      requestData: call.requestData,
      origRequestData: call.origRequestData,
      response: call.response,
      route: route.id,
      ...(call.inspect === undefined ? {} : { inspect: call.inspect }),
      ...(route.hasExplicitId ? { separateStats: true } : {}),
      ...(route.prefix === "" ? {} : { channelPrefix: route.prefix }),
      ...(target === undefined || target.subscriptions.length === 0
        ? {}
        : { channels: target.subscriptions }),
      ...(target?.trusted === false ? {} : { trusted: true }),
      ...(route.session ? { useSession: true } : {}),
    });
    this.#options
      .acceptCalls()
      .callLater("accept", args, (result) => done(outcomeOf(result)), this.#options.instanceId);
  }

  #tick(): void {
    const { packets, expired } = this.#keepAlive.tick(this.#options.clock.nowMs());
    for (const { to, packet, viaRouter, role } of packets) {
      if (role === "responder") this.#options.clients().send(to, packet, viaRouter);
      else this.#options.backends().send(to, packet);
    }
    for (const end of expired) end.expired();
  }
}

function outcomeOf(result: RpcResult): AcceptOutcome {
  if (!result.success) {
    if (result.condition === "bad-format" && typeof result.value === "string")
      return { kind: "bad-format", detail: result.value };
    return { kind: "unavailable" };
  }
  const decoded = decodeAcceptResult(result.value);
  if (!decoded.ok) return { kind: "unavailable" };
  if (decoded.value.accepted) return { kind: "accepted" };
  return decoded.value.response === undefined
    ? { kind: "unavailable" }
    : { kind: "response", response: decoded.value.response };
}

function keyOf(from: string, id: string): string {
  return `${from} ${id}`;
}
