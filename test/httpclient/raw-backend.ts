import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

export interface SeenHead {
  readonly text: string;
  /** Which connection it came on, from 1. */
  readonly connection: number;
  /** Which request of its connection it was, from 1. */
  readonly request: number;
}

export type Respond = (socket: Socket, head: SeenHead) => void;

/** A backend that answers with bytes: `respond` is called for each request head. */
export class RawBackend {
  readonly heads: SeenHead[] = [];
  readonly sockets: Socket[] = [];
  /** All bytes of each connection. */
  readonly received: string[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(respond: Respond, path?: string): Promise<RawBackend> {
    const server = createServer();
    const backend = new RawBackend(server);
    server.on("connection", (socket) => backend.#serve(socket, respond));
    await new Promise<void>((resolve) => {
      if (path === undefined) server.listen(0, "127.0.0.1", resolve);
      else server.listen(path, resolve);
    });
    return backend;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get uri(): string {
    return `http://127.0.0.1:${this.port}/`;
  }

  get connections(): number {
    return this.sockets.length;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket, respond: Respond): void {
    const at = this.sockets.push(socket) - 1;
    this.received.push("");
    let pending = "";
    let request = 0;
    socket.on("error", () => {});
    socket.on("data", (data) => {
      this.received[at] += data.toString("latin1");
      pending += data.toString("latin1");
      const end = pending.indexOf("\r\n\r\n");
      if (end < 0) return;
      request += 1;
      const head = { text: pending.slice(0, end + 4), connection: at + 1, request };
      pending = "";
      this.heads.push(head);
      respond(socket, head);
    });
  }
}

export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
