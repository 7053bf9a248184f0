import { silentLog } from "@pushpin/log";
import { encode } from "@pushpin/tnetstrings";
import { type SocketOptions, ZmqSocket } from "@pushpin/zmq";
import { type Item, toTnet } from "./item.ts";
import { PublishError, type Transport } from "./transport.ts";

/** A peer that takes nothing for so long is reported. */
const TIMEOUT_MS = 30_000;
/** A PUB waits so long for somebody who wants the channel; nobody is no error. */
const SUBSCRIBER_WAIT_MS = 1000;
const POLL_MS = 5;

/** One tnetstring for each item, to whoever PULLs. */
export async function openPushTransport(spec: string): Promise<Transport> {
  const socket = await open(spec, { type: "push", immediate: true });
  return {
    async send(item) {
      const isTaken = await until(() => socket.isWritable, TIMEOUT_MS);
      if (!isTaken) throw new PublishError(`nobody takes messages at ${spec}`);
      socket.send(encode(toTnet(item)));
    },
    close: () => socket.close(),
  };
}

/** Channel and tnetstring, to every SUB socket at the address that wants the channel. */
export async function openPubTransport(spec: string): Promise<Transport> {
  const wanted = new Set<string>();
  const socket = await open(spec, {
    type: "xpub",
    onSubscription: (topic, isWanted) => {
      if (isWanted) wanted.add(topic);
      else wanted.delete(topic);
    },
  });
  /** Whom nobody waits for is waited for once, not before each of many messages. */
  let waitMs = SUBSCRIBER_WAIT_MS;
  return {
    async send(item) {
      const channel = channelOf(item);
      const isWanted = () => [...wanted].some((topic) => channel.startsWith(topic));
      if (!(await until(isWanted, waitMs))) waitMs = 0;
      socket.send([Buffer.from(channel, "latin1"), encode(toTnet(item))]);
    },
    close: () => socket.close(),
  };
}

/** As a byte string, like the topics of subscriptions. */
function channelOf(item: Item): string {
  const { channel } = item;
  return typeof channel === "string" ? Buffer.from(channel).toString("latin1") : "";
}

async function open(
  spec: string,
  options: Pick<SocketOptions, "type" | "immediate" | "onSubscription">,
): Promise<ZmqSocket> {
  try {
    return await ZmqSocket.open({
      ...options,
      specs: [spec],
      mode: "connect",
      lingerMs: TIMEOUT_MS,
      log: silentLog,
    });
  } catch (error) {
    throw new PublishError(`${spec}: ${(error as Error).message}`, { cause: error });
  }
}

async function until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
  const endMs = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() >= endMs) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return true;
}
