import { createServer, type Server, type Socket } from "node:net";
import type { Logger } from "@pushpin/log";
import { answerControl, type ControlTarget } from "../core/control-api.ts";
import { ControlExchange, type ControlLimits } from "../core/control-exchange.ts";

/** Limit: connections at once; more wait in the backlog. */
export const CONTROL_CONNECTIONS_MAX = 128;
/** A client that has not sent its whole request by then is cut. */
const REQUEST_TIMEOUT_MS = 60_000;
/** After the answer, what the client still sends is read and dropped for this long. */
const LINGER_MS = 2000;

export type ControlListen =
  | { readonly fd: number }
  | { readonly host: string; readonly port: number };

/** The HTTP control port: a few short connections, one request each. */
export class ControlServer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(options: {
    readonly listen: ControlListen;
    readonly limits: ControlLimits;
    readonly target: ControlTarget;
    readonly log: Logger;
  }): Promise<ControlServer> {
    const server = createServer({
      allowHalfOpen: true,
      pauseOnConnect: false,
      noDelay: true,
    });
    const control = new ControlServer(server);
    server.on("connection", (socket) => control.#serve(socket, options));
    await new Promise<void>((resolve, reject) => {
      const { listen } = options;
      server.once("error", (error) =>
        reject(new Error(`unable to listen for control requests: ${error.message}`)),
      );
      const name = "fd" in listen ? `fd ${listen.fd}` : `${listen.host}:${listen.port}`;
      server.listen(listen, () => {
        options.log.info(`http control server listening on ${name}`);
        resolve();
      });
    });
    server.on("error", (error) => options.log.warn("control port", { error }));
    return control;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(
    socket: Socket,
    options: {
      readonly limits: ControlLimits;
      readonly target: ControlTarget;
      readonly log: Logger;
    },
  ): void {
    this.#sockets.add(socket);
    const exchange = new ControlExchange(options.limits);
    // Limit: CONTROL_CONNECTIONS_MAX. The rest of them are read when a place is free.
    if (this.#sockets.size > CONTROL_CONNECTIONS_MAX) socket.pause();
    socket.setTimeout(REQUEST_TIMEOUT_MS, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.#sockets.delete(socket);
      for (const waiting of this.#sockets)
        if (waiting.isPaused()) {
          waiting.resume();
          break;
        }
    });
    socket.on("end", () => socket.end());
    socket.on("data", (bytes) => {
      const step = exchange.receive(bytes);
      if (step.send !== undefined) socket.write(step.send, "latin1");
      if (step.end) finish(socket);
      if (step.request === undefined) return;
      const answer = answerControl(step.request, options.target);
      if ("later" in answer) {
        answer.later((response) => {
          if (socket.destroyed) return;
          socket.write(exchange.respond(response).send, "latin1");
          finish(socket);
        });
        return;
      }
      socket.write(exchange.respond(answer.response).send, "latin1");
      finish(socket);
      answer.run?.();
    });
  }
}

function finish(socket: Socket): void {
  socket.end();
  socket.setTimeout(LINGER_MS);
}
