import { createHash } from "node:crypto";
import { filterHeaders, getHeader } from "@pushpin/http";
import { toUtf8 } from "@pushpin/tnetstrings";
import type { ClientRequest } from "../relay/client-request.ts";
import { REQUEST_BODY_KEPT_MAX_BYTES, type RequestBody } from "../relay/request-body.ts";
import { splitUri } from "../relay/request-transform.ts";
import type { Route } from "../routes/route-table.ts";
import type { SocketClient, SocketClientEvents } from "../websocket/socket-ports.ts";
import type { SocketTimers } from "../websocket/socket-timers.ts";
import { FramedClient } from "./framed-client.ts";
import { type PollingOwner, PollingSession } from "./polling-session.ts";
import { CLIENT_MESSAGE_MAX_BYTES, readMessages } from "./sockjs-frames.ts";
import { answer, answerText, iframeBody, infoBody } from "./sockjs-pages.ts";

/** Limit: SockJS sessions over polls at a time. */
export const POLLING_SESSIONS_MAX = 100_000;

const CALLBACK = /^[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*|\[\d+\])*$/;

export interface SockJsPorts {
  readonly timers: SocketTimers;
  nowMs(): number;
  random(): number;
  /** Where browsers load the client library from. */
  readonly scriptUrl: string;
  /** Begins a WebSocket of its own kind towards the route's backend. */
  open(request: VirtualSocket, makeClient: (events: SocketClientEvents) => SocketClient): void;
}

/** What the backend sees of a SockJS session. */
export interface VirtualSocket {
  readonly uri: string;
  readonly headers: string[];
  readonly route: Route;
  readonly peerAddress: string;
}

/** What of the request is below the route's SockJS prefix; undefined if nothing is. */
export function sockJsPath(route: Route | undefined, uri: string): string | undefined {
  const prefix = route?.sockJsPath ?? "";
  if (prefix === "") return undefined;
  const path = pathOf(uri);
  if (path === prefix) return "";
  if (prefix.endsWith("/") && path.startsWith(prefix)) return path.slice(prefix.length - 1);
  return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : undefined;
}

/** SockJS on the routes that ask for it (proxy.md 6). */
export class SockJsManager implements PollingOwner {
  readonly timers: SocketTimers;
  readonly #ports: SockJsPorts;
  readonly #sessions = new Map<string, PollingSession>();
  readonly #iframe: { readonly body: string; readonly etag: string };

  constructor(ports: SockJsPorts) {
    this.#ports = ports;
    this.timers = ports.timers;
    const body = iframeBody(ports.scriptUrl);
    this.#iframe = { body, etag: `"${createHash("md5").update(body).digest("hex")}"` };
  }

  get size(): number {
    return this.#sessions.size;
  }

  nowMs(): number {
    return this.#ports.nowMs();
  }

  forget(session: PollingSession): void {
    if (this.#sessions.get(session.key) === session) this.#sessions.delete(session.key);
  }

  /** A request below the prefix, its body complete or too large. */
  request(client: ClientRequest, route: Route, path: string, body: RequestBody): void {
    const { method, headers } = client.info;
    if (body.bytes > REQUEST_BODY_KEPT_MAX_BYTES) {
      answerText(client, 400, "Bad Request", "Request too large.\n");
      return;
    }
    if (method === "OPTIONS") {
      answer(client, 204, "No Content", ["Content-Type", "text/plain"], "");
      return;
    }
    if (method === "GET" && path === "/info") {
      answerText(client, 200, "OK", infoBody(Math.floor(this.#ports.random() * 2 ** 32)));
      return;
    }
    if (method === "GET" && /^\/iframe[^/]*\.html$/.test(path)) {
      this.#sendIframe(client, headers);
      return;
    }
    const parts = /^\/([^/.]+)\/([^/.]+)\/([^/]+)$/.exec(path);
    if (parts === null) {
      notFound(client);
      return;
    }
    this.#transport(client, route, parts[2] as string, parts[3] as string, body);
  }

  /** The key of the session over polls that a request belongs to; undefined if to none. */
  sessionKey(route: Route, path: string): string | undefined {
    const sid = /^\/[^/.]+\/([^/.]+)\/(?:xhr|jsonp)(?:_send)?$/.exec(path)?.[1];
    return sid === undefined ? undefined : keyOf(route, sid);
  }

  /** A WebSocket below the prefix: the client's side for the relay, or undefined for a 404. */
  webSocket(path: string): "raw" | "framed" | undefined {
    if (path === "/websocket") return "raw";
    return /^\/[^/.]+\/[^/.]+\/[^/]+$/.test(path) ? "framed" : undefined;
  }

  framed(events: SocketClientEvents): FramedClient {
    return new FramedClient(this.timers, () => this.nowMs(), events);
  }

  /** The path that the backend of a WebSocket below the prefix sees. */
  virtualUri(route: Route, uri: string, isWebSocket: boolean): string {
    const { scheme, authority, target } = splitUri(uri);
    const query = target.indexOf("?");
    const isSecure = scheme === "https" || scheme === "wss";
    const own = route.sockJsPath + (isWebSocket ? "/websocket" : "");
    const path = route.sockJsAsPath === "" ? own : route.sockJsAsPath;
    return `${isSecure ? "wss" : "ws"}://${authority}${path}${query < 0 ? "" : target.slice(query)}`;
  }

  #sendIframe(client: ClientRequest, headers: readonly string[]): void {
    const { body, etag } = this.#iframe;
    if (getHeader(headers, "if-none-match") === etag) {
      answer(client, 304, "Not Modified", ["ETag", etag], "");
      return;
    }
    const own = ["ETag", etag, "Content-Type", "text/html; charset=UTF-8"];
    answer(client, 200, "OK", [...own, "Cache-Control", "public, max-age=31536000"], body);
  }

  #transport(
    client: ClientRequest,
    route: Route,
    sid: string,
    transport: string,
    body: RequestBody,
  ): void {
    const { method, uri } = client.info;
    const query = queryOf(uri);
    switch (transport) {
      case "xhr":
        if (method === "POST") this.#poll(client, route, sid, undefined);
        else notFound(client);
        return;
      case "jsonp": {
        const callback = query.get("callback") ?? query.get("c");
        if (method !== "GET" && method !== "POST") notFound(client);
        else if (callback === null || !CALLBACK.test(callback))
          answerText(client, 400, "Bad Request", "Bad Request\n");
        else this.#poll(client, route, sid, callback);
        return;
      }
      case "xhr_send":
        if (method === "POST") this.#send(client, route, sid, toUtf8(body.content));
        else notFound(client);
        return;
      case "jsonp_send": {
        const form = method === "POST" ? new URLSearchParams(toUtf8(body.content)) : query;
        if (method !== "GET" && method !== "POST") notFound(client);
        else this.#send(client, route, sid, form.get("d") ?? "");
        return;
      }
      default:
        notFound(client);
    }
  }

  #poll(client: ClientRequest, route: Route, sid: string, callback: string | undefined): void {
    const key = keyOf(route, sid);
    const known = this.#sessions.get(key);
    if (known !== undefined) {
      known.poll(client, callback);
      return;
    }
    // Limit: POLLING_SESSIONS_MAX
    if (this.#sessions.size >= POLLING_SESSIONS_MAX) {
      answerText(client, 503, "Service Unavailable", "Too many sessions\n");
      return;
    }
    const { info } = client;
    const session = new PollingSession(this, key, client, callback);
    this.#sessions.set(key, session);
    this.#ports.open(
      {
        uri: this.virtualUri(route, info.uri, false),
        headers: filterHeaders(info.headers, (name) => name === "content-length"),
        route,
        peerAddress: info.peerAddress,
      },
      (events) => {
        session.events = events;
        return session;
      },
    );
  }

  #send(client: ClientRequest, route: Route, sid: string, payload: string): void {
    const session = this.#sessions.get(keyOf(route, sid));
    if (session === undefined) {
      notFound(client);
      return;
    }
    if (session.answerIfClosed(client)) return;
    const messages = readMessages(payload);
    if (messages === undefined) answerText(client, 400, "Bad Request", "Payload expected\n");
    // Limit: CLIENT_MESSAGE_MAX_BYTES
    else if (messages.some((one) => Buffer.byteLength(one) > CLIENT_MESSAGE_MAX_BYTES))
      answerText(client, 400, "Bad Request", "Message too large\n");
    else session.send(client, messages);
  }
}

function notFound(client: ClientRequest): void {
  answerText(client, 404, "Not Found", "Not Found\n");
}

function keyOf(route: Route, sid: string): string {
  return `${route.id}\n${sid}`;
}

function pathOf(uri: string): string {
  const { target } = splitUri(uri);
  const query = target.indexOf("?");
  return query < 0 ? target : target.slice(0, query);
}

function queryOf(uri: string): URLSearchParams {
  const query = uri.indexOf("?");
  return new URLSearchParams(query < 0 ? "" : toUtf8(uri.slice(query + 1)));
}
