import { silentLog } from "@pushpin/log";
import { type Backend, freePorts, HttpStream, Installation, until } from "@pushpin/testkit";
import { encode } from "@pushpin/tnetstrings";
import { ZmqSocket } from "@pushpin/zmq";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";

/** Each its own machine, as far as addresses go. */
const PUBLISHER = "127.0.0.10";
const MACHINES = ["127.0.0.11", "127.0.0.12"] as const;

/** Binds a PUB socket, and knows which channels anybody wants. */
class Publisher {
  readonly wanted: Set<string>;
  readonly #socket: ZmqSocket;
  #count = 0;

  private constructor(socket: ZmqSocket, wanted: Set<string>) {
    this.#socket = socket;
    this.wanted = wanted;
  }

  static async bind(port: number): Promise<Publisher> {
    const wanted = new Set<string>();
    const socket = await ZmqSocket.open({
      type: "xpub",
      specs: [`tcp://${PUBLISHER}:${port}`],
      mode: "bind",
      log: silentLog,
      onSubscription: (topic, present) => void (present ? wanted.add(topic) : wanted.delete(topic)),
    });
    return new Publisher(socket, wanted);
  }

  /** @returns the line that clients get. */
  publish(channel: string): string {
    this.#count += 1;
    const content = `item ${this.#count}\n`;
    this.#socket.send([Buffer.from(channel), encode({ formats: { "http-stream": { content } } })]);
    return content;
  }

  close(): Promise<void> {
    return this.#socket.close();
  }
}

describe("given two instances on two machines that follow one publisher", () => {
  let backend: Backend;
  let publisher: Publisher;
  let publisherPort: number;
  const instances: { readonly url: string; readonly installation: Installation }[] = [];
  const streams: HttpStream[] = [];

  beforeAll(async () => {
    backend = await startGripBackend();
    [publisherPort = 0] = await freePorts(1);
    publisher = await Publisher.bind(publisherPort);
    for (const host of MACHINES) {
      const [port = 0] = await freePorts(1);
      const installation = await Installation.start({
        routes: [`* ${backend.address}`],
        config: {
          runner: { http_port: `${host}:${port}` },
          handler: {
            push_in_sub_specs: `tcp://${PUBLISHER}:${publisherPort}`,
            push_in_sub_connect: "true",
            subscription_linger: 0,
          },
        },
      });
      instances.push({ url: `http://${host}:${port}`, installation });
    }
  });
  afterEach(async () => {
    for (const one of streams.splice(0)) one.close();
    await until("nobody to want anything", () => publisher.wanted.size === 0);
  });
  afterAll(async () => {
    await Promise.all(instances.map(({ installation }) => installation.stop()));
    await publisher?.close();
    await backend?.stop();
  });

  const hold = async (index: number, channel: string): Promise<HttpStream> => {
    const stream = await HttpStream.open(`${instances[index]?.url}/stream?channel=${channel}`);
    streams.push(stream);
    await stream.received("[open]\n");
    return stream;
  };
  /** Items that an instance has got, whoever wanted them. */
  const gotOf = (index: number, channel: string) =>
    instances[index]?.installation.runner.output.split(`publish channel=${channel} `).length ?? 0;

  /** Publishes until this client gets it: its subscription may still be on its way. */
  const untilJoined = (stream: HttpStream, channel: string) =>
    until(`a client of ${channel}`, () => {
      publisher.publish(channel);
      return stream.text.includes("item ");
    });

  test("when only one has a client, then the other gets nothing", async () => {
    const stream = await hold(0, "lonely");
    await until("the subscription", () => publisher.wanted.has("lonely"));
    await stream.received(publisher.publish("lonely"));
    expect(gotOf(1, "lonely")).toBe(1);
    expect(publisher.wanted.has("other")).toBe(false);
  });

  test("when both have clients, then each item reaches both once, in order", async () => {
    const both = [await hold(0, "news"), await hold(1, "news")];
    for (const one of both) await untilJoined(one, "news");
    const sent = Array.from({ length: 200 }, () => publisher.publish("news"));
    for (const one of both) {
      await one.received(sent.at(-1) ?? "");
      expect(one.text.endsWith(sent.join(""))).toBe(true);
    }
  });

  test("when the clients of one leave, then it gets no more, and the other does", async () => {
    const both = [await hold(0, "leaving"), await hold(1, "leaving")];
    for (const one of both) await untilJoined(one, "leaving");
    both[0]?.close();
    await until("its end of interest", async () => {
      const before = gotOf(0, "leaving");
      const sent = publisher.publish("leaving");
      await both[1]?.received(sent);
      return gotOf(0, "leaving") === before;
    });
  });

  test("when the publisher starts again, then the instances find it and want the same", async () => {
    const stream = await hold(1, "again");
    await until("the subscription", () => publisher.wanted.has("again"));
    await publisher.close();
    // ZeroMQ lets go of the port a moment after the end.
    publisher = await until("the port", () => Publisher.bind(publisherPort).catch(() => undefined));
    await until("the subscription again", () => publisher.wanted.has("again"));
    await stream.received(publisher.publish("again"));
  });
});
