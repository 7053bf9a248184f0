import type { Logger } from "@pushpin/log";
import { ZmqSocket } from "@pushpin/zmq";
import { encodeStatsPacket, type StatsFields, type StatsFormat, type StatsTopic } from "../core/stats-packet.ts";

export interface StatsPublisherOptions {
  readonly specs: readonly string[];
  readonly format: StatsFormat;
  readonly ipcFileMode?: number;
  readonly log: Logger;
  /** Somebody came to want, or ceased to want, packets of this kind. */
  readonly onWanted?: (topic: StatsTopic, wanted: boolean) => void;
}

const TOPICS: readonly StatsTopic[] = ["activity", "message", "conn", "sub", "report", "counts"];

/** The PUB socket for statistics; an XPUB, so that packets nobody wants are not even made. */
export class StatsPublisher {
  readonly #options: StatsPublisherOptions;
  readonly #subscribed = new Set<string>();
  readonly #wanted = new Set<StatsTopic>();
  #socket: ZmqSocket | undefined;

  private constructor(options: StatsPublisherOptions) {
    this.#options = options;
  }

  static async open(options: StatsPublisherOptions): Promise<StatsPublisher> {
    const publisher = new StatsPublisher(options);
    publisher.#socket = await ZmqSocket.open({
      type: "xpub",
      specs: options.specs,
      mode: "bind",
      log: options.log,
      ...(options.ipcFileMode === undefined ? {} : { ipcFileMode: options.ipcFileMode }),
      onSubscription: (topic, present) => publisher.#subscription(topic, present),
    });
    return publisher;
  }

  isWanted(topic: StatsTopic): boolean {
    return this.#wanted.has(topic);
  }

  publish(topic: StatsTopic, fields: StatsFields): void {
    this.#socket?.send(encodeStatsPacket(topic, fields, this.#options.format));
  }

  async close(): Promise<void> {
    await this.#socket?.close();
  }

  #subscription(prefix: string, present: boolean): void {
    if (present) this.#subscribed.add(prefix);
    else this.#subscribed.delete(prefix);
    for (const topic of TOPICS) {
      const text = `${topic} `;
      const wanted = [...this.#subscribed].some(
        (one) => text.startsWith(one) || one.startsWith(text),
      );
      if (wanted === this.#wanted.has(topic)) continue;
      if (wanted) this.#wanted.add(topic);
      else this.#wanted.delete(topic);
      this.#options.onWanted?.(topic, wanted);
    }
  }
}
