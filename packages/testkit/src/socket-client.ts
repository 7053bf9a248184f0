import WebSocket from "ws";
import { until } from "./until.ts";

/** A client's WebSocket, with all it has received. */
export class SocketClient {
  readonly socket: WebSocket;
  readonly messages: (string | Buffer)[] = [];
  closed: { code: number; reason: string } | undefined;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data: Buffer, isBinary) => {
      this.messages.push(isBinary ? data : data.toString());
    });
    socket.on("close", (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    socket.on("error", () => {});
  }

  /** With `closeTimeoutMs` a connection that is left open after both closes is cut then. */
  static async open(
    url: string,
    headers: Readonly<Record<string, string>> = {},
    closeTimeoutMs?: number,
  ): Promise<SocketClient> {
    const options = {
      headers: { ...headers },
      rejectUnauthorized: false,
      ...(closeTimeoutMs === undefined ? {} : { closeTimeout: closeTimeoutMs }),
    };
    const client = new SocketClient(new WebSocket(url, options));
    await new Promise<void>((resolve, reject) => {
      client.socket.once("open", resolve);
      client.socket.once("error", reject);
    });
    return client;
  }

  send(data: string | Buffer): void {
    this.socket.send(data);
  }

  /** Waits for a message that equals, or is as long as, the given one. */
  async received(message: string | Buffer, timeoutMs?: number): Promise<void> {
    await until(
      `a WebSocket message of ${message.length}`,
      () => this.messages.some((one) => isSame(one, message)),
      timeoutMs,
    );
  }

  async end(timeoutMs?: number): Promise<{ code: number; reason: string }> {
    return until("the end of a WebSocket", () => this.closed, timeoutMs);
  }
}

function isSame(one: string | Buffer, other: string | Buffer): boolean {
  if (typeof one === "string" || typeof other === "string") return one === other;
  return one.equals(other);
}
