import type { WheelNode } from "@pushpin/clock";
import type { HttpResponseFormat, HttpStreamFormat, Instruct } from "@pushpin/grip";
import { filterHeaders, reasonPhrase } from "@pushpin/http";
import type { Packet, Session } from "@pushpin/zhttp";

/** Limit: bytes waiting for one slow client; the newest item is dropped and counted. */
export const HOLD_QUEUE_MAX_BYTES = 1_048_576;

export interface HoldPorts {
  pump(session: Session): void;
  ended(hold: Hold): void;
  /** Wakes `hold.timedOut` after this long. */
  schedule(hold: Hold, afterMs: number): void;
  dropped(): void;
}

/** One client connection that the handler keeps open. */
export class Hold {
  readonly session: Session;
  readonly instruct: Instruct;
  /** Full channel names. */
  readonly channels: readonly string[];
  keepAliveSlot?: number;
  wheel?: WheelNode;
  readonly #ports: HoldPorts;

  constructor(ports: HoldPorts, session: Session, instruct: Instruct, channels: readonly string[]) {
    this.#ports = ports;
    this.session = session;
    this.instruct = instruct;
    this.channels = channels;
  }

  get isStream(): boolean {
    return this.instruct.hold === "stream";
  }

  start(): void {
    const { response, keepAlive, timeoutS } = this.instruct;
    if (this.isStream) {
      this.session.respond(
        { ...response, reason: response.reason || reasonPhrase(response.code) },
        response.body,
        true,
      );
      if (keepAlive !== undefined) this.#ports.schedule(this, keepAlive.timeoutS * 1000);
    } else this.#ports.schedule(this, timeoutS * 1000);
    this.#ports.pump(this.session);
  }

  packet(packet: Packet, seq: number | undefined, nowMs: number): void {
    const received = this.session.receive(packet, seq, nowMs);
    this.#ports.pump(this.session);
    if (received === "cancel" || received === "error" || received === "failed")
      this.#ports.ended(this);
  }

  /** A stream's keep-alive is due, or a long poll has waited long enough. */
  timedOut(): void {
    const { keepAlive, response } = this.instruct;
    if (!this.isStream) {
      this.#respond(response.code, response.reason, response.headers, response.body);
      return;
    }
    if (keepAlive === undefined) return;
    if (this.session.queuedBytes === 0) this.session.write(keepAlive.data, true);
    this.#ports.pump(this.session);
    this.#ports.schedule(this, keepAlive.timeoutS * 1000);
  }

  /** A delivery went out: an idle keep-alive starts over. */
  delivered(): void {
    const { keepAlive } = this.instruct;
    if (keepAlive?.mode === "idle") this.#ports.schedule(this, keepAlive.timeoutS * 1000);
  }

  /** Content for a stream whose client is not ready for a shared packet. */
  stream(format: HttpStreamFormat): void {
    if (format.action === "close") {
      this.session.write("", false);
      this.#ports.pump(this.session);
      this.#ports.ended(this);
      return;
    }
    if (format.action !== "send") return;
    if (this.session.queuedBytes + format.content.length > HOLD_QUEUE_MAX_BYTES) {
      this.#ports.dropped();
      return;
    }
    this.session.write(format.content, true);
    this.#ports.pump(this.session);
    this.delivered();
  }

  /** Answers a long poll; the item's headers replace those of the hold. */
  answer(format: HttpResponseFormat): void {
    if (format.action !== "send") return;
    if (format.bodyPatch !== undefined) {
      this.#ports.dropped(); // patches are not applied yet; an answer without its body would be wrong
      return;
    }
    const set = new Set<string>();
    for (let i = 0; i < format.headers.length; i += 2)
      set.add((format.headers[i] as string).toLowerCase());
    const own = filterHeaders(
      format.headers,
      (name) =>
        name.startsWith("grip-") ||
        name === "content-length" ||
        name === "transfer-encoding" ||
        name === "connection",
    );
    const headers = [
      ...filterHeaders(this.instruct.response.headers, (name) => set.has(name)),
      ...own,
    ];
    this.#respond(format.code, format.reason, headers, format.body);
  }

  #respond(code: number, reason: string, headers: string[], body: string | Uint8Array): void {
    this.session.respond({ code, reason: reason || reasonPhrase(code), headers }, body, false);
    this.#ports.pump(this.session);
    this.#ports.ended(this);
  }
}
