import { describe, expect, test } from "vitest";
import { Subscriptions } from "./subscriptions.ts";

function open(lingerMs = 3000) {
  const seen: string[] = [];
  const subscriptions = new Subscriptions<string, string, string>(lingerMs, {
    onActive: (channel) => seen.push(`active ${channel}`),
    onIdle: (channel) => seen.push(`idle ${channel}`),
    onCount: (mode, channel, count) => seen.push(`${mode} ${channel} ${count}`),
    onSettled: (channel) => seen.push(`settled ${channel.name}`),
  });
  return { subscriptions, take: () => seen.splice(0) };
}

describe("given subscriptions that linger", () => {
  test("handler R133, R39: when a response hold goes, then its channel stays for the linger time, and a new one settles nothing", () => {
    const { subscriptions, take } = open();
    subscriptions.addResponse("c", "r1", 0);
    subscriptions.settle(999);
    expect(take()).toEqual(["active c", "response c 1"]);
    subscriptions.settle(1000);
    expect(take()).toEqual(["settled c"]);
    subscriptions.removeResponse("c", "r1", 2000);
    subscriptions.expire(4000);
    subscriptions.addResponse("c", "r2", 4500);
    subscriptions.settle(9000);
    expect(take()).toEqual(["response c 1"]);
    subscriptions.removeResponse("c", "r2", 9000);
    subscriptions.expire(12_000);
    expect(take()).toEqual(["response c 0", "idle c"]);
  });

  test("handler R119: when a stream or WebSocket goes, then the channel is idle at once", () => {
    const { subscriptions, take } = open();
    subscriptions.addStream("c", "s", 0);
    subscriptions.addStream("c", "s", 0);
    subscriptions.addWs("c", "w", 0);
    subscriptions.removeStream("c", "s");
    subscriptions.removeWs("c", "w");
    expect(take()).toEqual(["active c", "stream c 1", "ws c 1", "stream c 0", "ws c 0", "idle c"]);
    subscriptions.settle(9000);
    expect(take()).toEqual([]);
  });
});
