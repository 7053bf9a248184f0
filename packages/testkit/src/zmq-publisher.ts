import { silentLog } from "@pushpin/log";
import { encode, type TnetInput } from "@pushpin/tnetstrings";
import { ZmqSocket } from "@pushpin/zmq";

/** Publishes items to a handler's PULL socket. */
export class PushPublisher {
  readonly #socket: ZmqSocket;

  private constructor(socket: ZmqSocket) {
    this.#socket = socket;
  }

  static async connect(spec: string): Promise<PushPublisher> {
    return new PushPublisher(
      await ZmqSocket.open({
        type: "push",
        specs: [spec],
        mode: "connect",
        lingerMs: 1000,
        log: silentLog,
      }),
    );
  }

  publish(item: TnetInput): void {
    this.#socket.send(encode(item));
  }

  close(): Promise<void> {
    return this.#socket.close();
  }
}

/** Publishes items to a handler's SUB socket, and knows what that is subscribed to. */
export class SubPublisher {
  readonly subscriptions = new Set<string>();
  readonly #socket: ZmqSocket;

  private constructor(socket: ZmqSocket) {
    this.#socket = socket;
  }

  static async connect(spec: string): Promise<SubPublisher> {
    const note: { subscriptions?: Set<string> } = {};
    const early: string[] = [];
    const socket = await ZmqSocket.open({
      type: "xpub",
      specs: [spec],
      mode: "connect",
      lingerMs: 1000,
      log: silentLog,
      onSubscription: (topic, present) => {
        if (note.subscriptions === undefined) early.push(topic);
        else if (present) note.subscriptions.add(topic);
        else note.subscriptions.delete(topic);
      },
    });
    const publisher = new SubPublisher(socket);
    for (const topic of early) publisher.subscriptions.add(topic);
    note.subscriptions = publisher.subscriptions;
    return publisher;
  }

  publish(channel: string, item: TnetInput): void {
    this.#socket.send([Buffer.from(channel, "latin1"), encode(item)]);
  }

  close(): Promise<void> {
    return this.#socket.close();
  }
}
