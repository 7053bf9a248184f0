import type { Logger } from "@pushpin/log";
import { ZmqSocket } from "@pushpin/zmq";
import {
  encodeStatsPacket,
  type StatsFields,
  type StatsFormat,
  type StatsTopic,
} from "../core/stats-packet.ts";

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
  /** Different subscriptions that a packet of this kind may match. */
  readonly #subscriptions = new Map<StatsTopic, number>();
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
    return (this.#subscriptions.get(topic) ?? 0) > 0;
  }

  publish(topic: StatsTopic, fields: StatsFields): void {
    this.#socket?.send(encodeStatsPacket(topic, fields, this.#options.format));
  }

  async close(): Promise<void> {
    await this.#socket?.close();
  }

  /** The socket tells the first and the last of equal subscriptions, so a number will do. */
  #subscription(prefix: string, present: boolean): void {
    for (const topic of TOPICS) {
      const text = `${topic} `;
      if (!text.startsWith(prefix) && !prefix.startsWith(text)) continue;
      const before = this.#subscriptions.get(topic) ?? 0;
      const now = Math.max(before + (present ? 1 : -1), 0);
      this.#subscriptions.set(topic, now);
      if (before > 0 !== now > 0) this.#options.onWanted?.(topic, now > 0);
    }
  }
}
