import { rmSync } from "node:fs";
import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import { type ListenAddress, setOwner } from "@pushpin/config";
import type { Logger } from "@pushpin/log";
import { parseProxyHeader } from "../core/proxy-header.ts";
import type { Admission } from "./admission.ts";
import type { Certificate, Certificates } from "./certificates.ts";
import type { Origin } from "./client-connection.ts";
import type { Engine } from "./engine.ts";

const BACKLOG = 4096;

export interface ListenerOptions {
  /** An address, or descriptors of one socket that somebody has bound for us. */
  readonly where: ListenAddress | { readonly kind: "fd"; readonly fds: readonly number[] };
  readonly isSecure: boolean;
  /** TCP connections begin with a PROXY protocol header. */
  readonly hasProxyHeader: boolean;
  readonly engine: Engine;
  readonly admission: Admission;
  readonly certificates: Certificates;
  readonly log: Logger;
}

/** One listening socket: who connects is admitted, introduced and decrypted, and goes to the engine. */
export class Listener {
  readonly #options: ListenerOptions;
  /** One for each descriptor: each takes one client in a turn of the event loop. */
  readonly #servers: readonly [Server, ...Server[]];
  readonly #tls: TlsServer | undefined;
  /** Clients behind a balancer while they shake hands: TLS hands on a socket that knows only the balancer. */
  readonly #origins = new Map<string, Origin>();
  #fallback = "default";
  #certificate: Certificate | undefined;

  private constructor(options: ListenerOptions) {
    this.#options = options;
    const { where } = options;
    const more = where.kind === "fd" ? where.fds.slice(1) : [];
    this.#servers = [this.#createServer(), ...more.map(() => this.#createServer())];
    this.#tls = options.isSecure ? this.#createTls() : undefined;
  }

  /** @throws Error `failed to bind …`, `failed to set user …`. */
  static async open(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    await listener.#listen();
    return listener;
  }

  /** TCP port; 0 for a unix socket. */
  get port(): number {
    const address = this.#servers[0].address();
    return typeof address === "object" && address !== null ? (address.port ?? 0) : 0;
  }

  close(): void {
    for (const server of this.#servers) server.close();
  }

  #createServer(): Server {
    const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true });
    server.on("connection", (socket) =>
      this.#options.admission.enter(socket, (admitted) => this.#admitted(admitted)),
    );
    return server;
  }

  async #listen(): Promise<void> {
    const { where, log } = this.#options;
    for (const [i, server] of this.#servers.entries()) {
      await new Promise<void>((resolve, reject) => {
        server.once("error", (error) =>
          reject(new Error(`failed to bind ${shown(where)}: ${reasonOf(error)}`, { cause: error })),
        );
        server.listen({ ...listenOptions(where, i), backlog: BACKLOG }, resolve);
      });
      server.removeAllListeners("error");
      server.on("error", (error) => log.warn("cannot accept a client", { error: error.message }));
    }
    this.#fallback = `default_${this.port}`;
    if (where.kind === "local") setOwner(where);
    if (where.kind !== "fd") log.info(`listening on ${this.#shownBound(where)}`);
  }

  #shownBound(where: ListenAddress): string {
    return where.kind === "tcp" ? shown({ ...where, port: this.port }) : shown(where);
  }

  #admitted(socket: Socket): void {
    if (!this.#options.hasProxyHeader || socket.remoteAddress === undefined) {
      this.#entered(socket, originOf(socket));
      return;
    }
    introduce(socket, this.#options.engine.settings.headerTimeoutMs, (origin) => {
      if (origin === undefined) {
        this.#options.engine.count("no PROXY header");
        socket.destroy();
      } else this.#entered(socket, origin);
    });
  }

  #entered(socket: Socket, origin: Origin): void {
    const { admission, engine } = this.#options;
    if (!admission.isAllowed(socket, origin)) {
      socket.destroy();
      return;
    }
    if (this.#tls === undefined) {
      engine.accept(socket, origin);
      return;
    }
    this.#refreshDefault(this.#tls);
    if (this.#options.hasProxyHeader) {
      const key = `${socket.remoteAddress} ${socket.remotePort}`;
      this.#origins.set(key, origin);
      socket.once("close", () => this.#origins.delete(key));
    }
    this.#tls.emit("connection", socket);
  }

  #createTls(): TlsServer {
    const { engine, certificates } = this.#options;
    const server = createTlsServer(
      {
        allowHalfOpen: true,
        minVersion: "TLSv1.2",
        honorCipherOrder: true,
        ALPNProtocols: ["http/1.1"],
        handshakeTimeout: engine.settings.headerTimeoutMs,
        SNICallback: (name, done) => done(null, certificates.find(name, this.#fallback)?.context),
      },
      (socket) => {
        const origin = this.#origins.get(`${socket.remoteAddress} ${socket.remotePort}`);
        engine.accept(socket, origin ?? originOf(socket));
      },
    );
    server.on("tlsClientError", (error, socket) => {
      socket.destroy(); // one that took too long is still open
      engine.count("tls handshake");
      this.#options.log.debug("tls handshake failed", { error: error.message });
    });
    return server;
  }

  /** For clients that name no server. Their handshakes ask nobody, so the newest is put in place before. */
  #refreshDefault(tls: TlsServer): void {
    const certificate = this.#options.certificates.read(this.#fallback);
    if (certificate === undefined || certificate === this.#certificate) return;
    this.#certificate = certificate;
    tls.setSecureContext({
      cert: certificate.cert,
      key: certificate.key,
      minVersion: "TLSv1.2",
      honorCipherOrder: true,
    });
  }
}

/** Reads the header of a balancer; undefined if there is none in time. */
function introduce(
  socket: Socket,
  timeoutMs: number,
  done: (origin: Origin | undefined) => void,
): void {
  let input = Buffer.alloc(0);
  const finish = (origin: Origin | undefined) => {
    clearTimeout(timer);
    socket.off("close", onFailure);
    socket.off("end", onFailure);
    socket.off("readable", onReadable);
    done(origin);
  };
  const onFailure = () => finish(undefined);
  const timer = setTimeout(onFailure, timeoutMs); // for all of it, however it trickles
  const onReadable = () => {
    const piece = socket.read() as Buffer | null;
    if (piece === null) return;
    input = Buffer.concat([input, piece]);
    const header = parseProxyHeader(input);
    if (header.state === "more") return;
    if (header.state === "error") {
      onFailure();
      return;
    }
    const rest = input.subarray(header.end);
    if (rest.length > 0) socket.unshift(rest);
    finish(header.origin ?? originOf(socket));
  };
  socket.on("error", ignore);
  socket.on("close", onFailure);
  socket.on("end", onFailure);
  socket.on("readable", onReadable);
}

function ignore(): void {
  // `close` follows
}

function originOf(socket: Socket): Origin {
  return {
    address: socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, "") ?? "",
    port: socket.remotePort ?? 0,
  };
}

function listenOptions(where: ListenerOptions["where"], i: number): ListenOptions {
  switch (where.kind) {
    case "fd":
      return { fd: where.fds[i] } as ListenOptions;
    case "tcp":
      return { host: where.host, port: where.port };
    case "local":
      rmSync(where.path, { force: true });
      return { path: where.path };
  }
}

function shown(where: ListenerOptions["where"]): string {
  if (where.kind === "fd") return `inherited socket ${where.fds[0]}`;
  if (where.kind === "local") return where.path;
  return where.host.includes(":") ? `[${where.host}]:${where.port}` : `${where.host}:${where.port}`;
}

/** The original's words for what can be expected. */
const REASONS: Readonly<Record<string, string>> = {
  EACCES: "Permission denied (os error 13)",
  EADDRINUSE: "Address already in use (os error 98)",
  EADDRNOTAVAIL: "Cannot assign requested address (os error 99)",
};

function reasonOf(error: NodeJS.ErrnoException): string {
  return REASONS[error.code ?? ""] ?? error.message;
}
