import * as ws from "ws";

/** What arrives on a WebSocket, in order. */
export interface MessageHandlers {
  onMessage(payload: Buffer, isBinary: boolean): void;
  onPing(payload: Buffer): void;
  onPong(payload: Buffer): void;
  /** `code` undefined: a close without a code. */
  onClose(code: number | undefined, reason: Buffer): void;
  /** The peer broke the protocol; `code` is what it is closed with: 1002, 1007, 1009. */
  onError(code: number, message: string): void;
}

interface WsReceiver extends NodeJS.WritableStream {
  destroy(): void;
  on(event: string, listener: (...args: never[]) => void): this;
}

/** The receiver of `ws`; its types are not part of `@types/ws`. */
const Receiver = (ws as unknown as { Receiver: new (options: object) => WsReceiver }).Receiver;

/** What `ws` reports for a close frame without a code. */
const NO_STATUS = 1005;

/** Receives whole messages of one connection, control frames between fragments included (RFC 6455, 5). */
export class MessageReceiver {
  readonly #receiver: WsReceiver;

  /** `maxBytes` limits a message; a larger one ends with 1009. */
  constructor(isServer: boolean, maxBytes: number, handlers: MessageHandlers) {
    const receiver = new Receiver({
      isServer,
      maxPayload: maxBytes,
      allowSynchronousEvents: true,
      binaryType: "nodebuffer",
    });
    receiver.on("message", (data: Buffer, isBinary: boolean) => handlers.onMessage(data, isBinary));
    receiver.on("ping", (data: Buffer) => handlers.onPing(data));
    receiver.on("pong", (data: Buffer) => handlers.onPong(data));
    receiver.on("conclude", (code: number, reason: Buffer) =>
      handlers.onClose(code === NO_STATUS ? undefined : code, reason),
    );
    receiver.on("error", (error: Error & Record<symbol, unknown>) =>
      handlers.onError(closeCodeOf(error), error.message),
    );
    this.#receiver = receiver;
  }

  receive(bytes: Buffer): void {
    this.#receiver.write(bytes);
  }

  destroy(): void {
    this.#receiver.destroy();
  }
}

/** `ws` keeps the close code of an error under a symbol of its own. */
function closeCodeOf(error: object): number {
  const symbol = Object.getOwnPropertySymbols(error).find(
    (one) => one.description === "status-code",
  );
  const code = symbol === undefined ? undefined : (error as Record<symbol, unknown>)[symbol];
  return typeof code === "number" ? code : 1002;
}
