import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "@pushpin/log";
import { ZmqSocket } from "@pushpin/zmq";
import { afterEach, describe, expect, test } from "vitest";
import { StatsPublisher } from "./stats-publisher.ts";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A publisher, and what subscribers to `topics` get. */
async function open(format: "tnetstring" | "json" = "tnetstring") {
  const directory = await mkdtemp(join(tmpdir(), "stats-"));
  closing.push(() => rm(directory, { recursive: true, force: true }));
  const specs = [`ipc://${join(directory, "stats")}`];
  const waiting: (() => void)[] = [];
  const changes: string[] = [];
  const publisher = await StatsPublisher.open({
    specs,
    format,
    log: silentLog,
    onWanted: (topic, wanted) => {
      changes.push(`${wanted ? "+" : "-"}${topic}`);
      for (const wake of waiting.splice(0)) wake();
    },
  });
  closing.push(() => publisher.close());
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const listen = async (...topics: string[]) => {
    const frames: string[] = [];
    const socket = await ZmqSocket.open({
      type: "sub",
      specs,
      mode: "connect",
      subscribe: topics,
      log: silentLog,
      onMessage: ([frame]) => {
        if (frame !== undefined) frames.push(frame.toString());
        for (const wake of waiting.splice(0)) wake();
      },
    });
    closing.push(() => socket.close());
    return { frames, socket };
  };
  return { publisher, changes, until, listen };
}

describe("given a publisher of statistics", () => {
  test("when one subscribes to a topic, then just that is wanted, and arrives", async () => {
    const { publisher, until, listen } = await open("json");
    expect(publisher.isWanted("sub")).toBe(false);
    const { frames } = await listen("sub ");
    await until(() => publisher.isWanted("sub"));
    expect(publisher.isWanted("conn")).toBe(false);
    publisher.publish("conn", { id: "a" });
    publisher.publish("sub", { channel: "c" });
    await until(() => frames.length > 0);
    expect(frames).toEqual(['sub J{"channel":"c"}']);
  });

  test("when one subscribes to everything, then everything is wanted", async () => {
    const { publisher, until, listen } = await open();
    await listen("");
    await until(() => publisher.isWanted("counts"));
    for (const topic of ["activity", "message", "conn", "sub", "report"] as const)
      expect(publisher.isWanted(topic)).toBe(true);
  });

  test("when subscriptions overlap, then the topic is wanted until the last is gone", async () => {
    const { publisher, changes, until, listen } = await open();
    const { socket } = await listen("conn", "conn T");
    await until(() => publisher.isWanted("conn"));
    socket.unsubscribe("conn");
    socket.subscribe("sub ");
    await until(() => publisher.isWanted("sub"));
    expect(publisher.isWanted("conn")).toBe(true);
    socket.unsubscribe("conn T");
    await until(() => !publisher.isWanted("conn"));
    expect(changes).toEqual(["+conn", "+sub", "-conn"]);
  });

  test("when the subscriber goes without a word, then nothing is wanted", async () => {
    const { publisher, until, listen } = await open();
    const { socket } = await listen("report ");
    await until(() => publisher.isWanted("report"));
    await socket.close();
    await until(() => !publisher.isWanted("report"));
    expect(publisher.isWanted("report")).toBe(false);
  });
});
