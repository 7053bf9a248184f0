import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createSecureServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

export type Handle = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;
export type HandleSocket = (socket: WebSocket, request: IncomingMessage) => void;

export interface BackendOptions {
  /** Over TLS, where HTTP/2 may be chosen. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** A socket in the file system, in the place of a port. */
  readonly path?: string;
  /** Told of each request before its body is there. */
  readonly onHead?: (request: IncomingMessage) => void;
}

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

/** A backend of a test: whole requests in, whatever `handle` writes out. */
export class Backend {
  readonly requests: SeenRequest[] = [];
  readonly port: number;
  /** As a route's target names it. */
  readonly address: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, requests: SeenRequest[], sockets: Set<Socket>) {
    this.#server = server;
    this.requests = requests;
    this.#sockets = sockets;
    const address = server.address() as AddressInfo | string;
    this.port = typeof address === "string" ? 0 : address.port;
    this.address = typeof address === "string" ? `unix:${address}` : `127.0.0.1:${this.port}`;
  }

  static async start(
    handle: Handle,
    handleSocket?: HandleSocket,
    { tls, path, onHead }: BackendOptions = {},
  ): Promise<Backend> {
    const requests: SeenRequest[] = [];
    const sockets = new Set<Socket>();
    const serve = (request: IncomingMessage, response: ServerResponse): void => {
      onHead?.(request);
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => {
        const body = Buffer.concat(pieces);
        const { method = "", url = "", headers } = request;
        requests.push({ method, url, headers, body });
        handle(request, response, body);
      });
    };
    // What differs between the two are names nobody here uses.
    const server =
      tls === undefined
        ? createServer(serve)
        : (createSecureServer({ ...tls, allowHTTP1: true }, serve as never) as unknown as Server);
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    if (handleSocket !== undefined) {
      const upgrades = new WebSocketServer({ noServer: true });
      // The only extension a proxy offers here is its own.
      upgrades.on("headers", (headers, request) => {
        if (request.url?.startsWith("/grip")) headers.push("Sec-WebSocket-Extensions: grip");
      });
      server.on("upgrade", (request, socket, head) =>
        upgrades.handleUpgrade(request, socket, head, (one) => {
          one.on("error", () => {}); // of a hostile client's making
          handleSocket(one, request);
        }),
      );
    }
    await new Promise<void>((resolve) => {
      if (path === undefined) server.listen(0, "127.0.0.1", resolve);
      else server.listen(path, resolve);
    });
    return new Backend(server, requests, sockets);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
