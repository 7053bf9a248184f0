import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

/** One connection to a raw backend: what it got, and a way to answer. */
export interface RawConnection {
  readonly socket: Socket;
  /** Everything received, one char per byte. */
  text: string;
  isEnded: boolean;
}

/** A backend that answers in bytes of the test's choice, right or wrong. */
export class RawBackend {
  readonly connections: RawConnection[] = [];
  readonly port: number;
  readonly #server: Server;

  private constructor(server: Server, connections: RawConnection[]) {
    this.#server = server;
    this.connections = connections;
    this.port = (server.address() as AddressInfo).port;
  }

  /** `onHead` is called once per request head without a body: when a blank line has come. */
  static async start(
    onHead: (head: string, connection: RawConnection) => void,
  ): Promise<RawBackend> {
    const connections: RawConnection[] = [];
    const server = createServer((socket) => {
      const connection: RawConnection = { socket, text: "", isEnded: false };
      connections.push(connection);
      let seen = 0;
      socket.on("data", (data: Buffer) => {
        connection.text += data.toString("latin1");
        for (;;) {
          const end = connection.text.indexOf("\r\n\r\n", seen);
          if (end < 0) return;
          const head = connection.text.slice(seen, end);
          seen = end + 4;
          onHead(head, connection);
        }
      });
      socket.on("error", () => {});
      socket.on("close", () => {
        connection.isEnded = true;
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new RawBackend(server, connections);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
