import { ByteCollector } from "./byte-collector.ts";
import { FrameReader } from "./frame-reader.ts";

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

/** Receives whole messages of one connection, control frames between fragments included (RFC 6455, 5). */
export class MessageReceiver {
  readonly #reader: FrameReader;
  #pieces: ByteCollector | undefined;

  /** `maxBytes` limits a message; a larger one ends with 1009. */
  constructor(isServer: boolean, maxBytes: number, handlers: MessageHandlers) {
    this.#reader = new FrameReader(
      { isServer, messageMaxBytes: maxBytes },
      {
        onData: (piece, isBinary, last) => {
          if (last && this.#pieces === undefined) {
            handlers.onMessage(piece, isBinary);
            return;
          }
          this.#pieces ??= new ByteCollector();
          this.#pieces.add(piece);
          if (!last) return;
          const payload = this.#pieces.take();
          this.#pieces = undefined;
          handlers.onMessage(payload, isBinary);
        },
        onPing: (payload) => handlers.onPing(payload),
        onPong: (payload) => handlers.onPong(payload),
        onClose: (code, reason) => handlers.onClose(code, reason),
        onError: (code, message) => handlers.onError(code, message),
      },
    );
  }

  receive(bytes: Buffer): void {
    this.#reader.receive(bytes);
  }

  destroy(): void {
    this.#pieces = undefined;
    this.#reader.end();
  }
}
