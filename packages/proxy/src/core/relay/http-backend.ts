import type { Packet, Session } from "@pushpin/zhttp";
import type { RelayPorts, SessionEnd } from "./ports.ts";

export interface BackendListener {
  /** Head and body, or more of the body; `more` false ends it. */
  backendData(packet: Packet): void;
  /** The backend takes more of the request's body. */
  backendCredits(): void;
  /** A wire condition, `disconnected`, or `expired` if nobody has ever answered. Nothing follows. */
  backendFailed(condition: string): void;
}

/** The session of one request to the HTTP client. */
export class HttpBackend implements SessionEnd {
  readonly session: Session;
  keepAliveSlot?: number;
  readonly #ports: RelayPorts;
  readonly #listener: BackendListener;
  #isDropped = false;

  constructor(ports: RelayPorts, session: Session, listener: BackendListener) {
    this.#ports = ports;
    this.session = session;
    this.#listener = listener;
    ports.register(this);
  }

  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    if (this.#isDropped) return;
    const received = this.session.receive(packet, seq, nowMs);
    if (received === "data") {
      this.#listener.backendData(packet);
      if (!this.#isDropped) this.#ports.pump(this.session);
      return;
    }
    this.#ports.pump(this.session);
    if (received === "error" || received === "cancel" || received === "failed") {
      this.#forget();
      this.#listener.backendFailed(received === "error" ? packet.condition : "disconnected");
    } else this.#listener.backendCredits();
  }

  expired(): void {
    this.#forget();
    this.#listener.backendFailed("expired");
  }

  /** Nothing more is wanted of it. */
  drop(): void {
    if (this.#isDropped) return;
    if (!this.session.ended) {
      this.session.cancel();
      this.#ports.pump(this.session);
    }
    this.#forget();
  }

  #forget(): void {
    this.#isDropped = true;
    this.#ports.unregister(this);
  }
}
