import { silentLog } from "@pushpin/log";
import { decode, toUtf8 } from "@pushpin/tnetstrings";
import { decodeRetryPacket, type RetryPacket } from "@pushpin/zrpc";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RetrySender, WAITING_RETRIES_MAX } from "./retry-sender.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const retryOf = (id: string): RetryPacket => ({
  requests: [{ rid: { sender: "cm", id }, inSeq: 1, outSeq: 1, outCredits: 0 }],
  requestData: { method: "GET", uri: "http://a/", headers: [], body: Buffer.alloc(0) },
});

/** A sender, the proxies that are connected to it, and what each of them gets. */
function rig() {
  const connected = new Set<string>();
  const got: string[] = [];
  const take = (frames: Uint8Array | Uint8Array[]): boolean => {
    const [to, , frame] = frames as Uint8Array[];
    const proxy = toUtf8(Buffer.from(to ?? []).toString("latin1"));
    if (!connected.has(proxy)) return false;
    const map = decode(frame as Uint8Array);
    const retry = map.ok && map.value instanceof Map ? decodeRetryPacket(map.value) : undefined;
    got.push(`${proxy} ${retry?.ok ? retry.value.requests[0]?.rid.id : "?"}`);
    return true;
  };
  const sender: RetrySender = new RetrySender(silentLog, () => ({
    send: (frames) => {
      // The socket says so later.
      if (!take(frames)) queueMicrotask(() => sender.unroutable(frames as Uint8Array[]));
    },
    sendIfRoutable: (frames) => Promise.resolve(take(frames)),
  }));
  return { sender, connected, got };
}

describe("given clients that are given back to a proxy that is gone", () => {
  test("when its successor is heard of before the connection to it stands, then it gets them when that does, in order", async () => {
    const { sender, connected, got } = rig();
    for (const id of ["1", "2", "3"]) sender.send("proxy-0-a", retryOf(id));
    await vi.advanceTimersByTimeAsync(1000);
    sender.heardOf("proxy-0-b");
    await vi.advanceTimersByTimeAsync(1000);
    expect(got).toEqual([]);
    connected.add("proxy-0-b");
    await vi.advanceTimersByTimeAsync(1000);
    expect(got).toEqual(["proxy-0-b 1", "proxy-0-b 2", "proxy-0-b 3"]);
    sender.send("proxy-0-a", retryOf("4"));
    expect(got.at(-1)).toBe("proxy-0-b 4");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("when another proxy is known, then they go there", async () => {
    const { sender, connected, got } = rig();
    connected.add("proxy-1-a");
    sender.heardOf("proxy-1-a");
    sender.send("proxy-0-a", retryOf("1"));
    await vi.advanceTimersByTimeAsync(1000);
    expect(got).toEqual(["proxy-1-a 1"]);
  });

  test("when the proxy heard of last is gone itself, then they wait for the next", async () => {
    const { sender, connected, got } = rig();
    sender.heardOf("proxy-0-a");
    sender.send("proxy-0-a", retryOf("1"));
    await vi.advanceTimersByTimeAsync(1000);
    connected.add("proxy-0-b");
    sender.heardOf("proxy-0-b");
    await vi.advanceTimersByTimeAsync(1000);
    expect(got).toEqual(["proxy-0-b 1"]);
  });

  test("when nobody comes, then the oldest are dropped beyond the limit, and a close ends the wait", async () => {
    const { sender } = rig();
    for (let i = 0; i < WAITING_RETRIES_MAX + 2; i += 1) sender.send("", retryOf("1"));
    expect(sender.dropped).toBe(2);
    sender.close();
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(1000);
  });
});
