import { type Backend, HttpStream, Installation, SocketClient, until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { crash, type Role } from "./crash.ts";

/** More with the environment variables; SockJS and what has a connection of its own are not among them. */
const STREAMS = Number(process.env.PUSHPIN_TEST_CRASH_CLIENTS ?? 300);
const SOCKETS = Math.ceil(STREAMS / 5);
/** Longer than a packet stays in a process, on a slow machine. */
const ON_THE_WAY_MS = 100;
const KILLS = Number(process.env.PUSHPIN_TEST_CRASH_KILLS ?? 2);

let backend: Backend;
let installation: Installation;

beforeAll(async () => {
  backend = await startGripBackend();
});
afterAll(() => backend.stop());
afterEach(() => installation?.stop());

/** Publishes numbers until it is told to stop; what is refused or cut off is published again. */
class Publisher {
  readonly published: string[] = [];
  /** Numbers that were sent again, because their answer got lost. */
  readonly repeated = new Set<string>();
  /** Numbers a handler may have had on the way when it was killed: answered, and not yet out of it. */
  readonly uncertain = new Set<string>();
  #answered: { readonly content: string; readonly atMs: number }[] = [];
  #isKilling = false;
  #isOver = false;
  #done: Promise<void>;

  constructor(target: Installation) {
    this.#done = this.#run(target);
  }

  /** The handler is about to die with what it has in its hands. */
  noteKill(): void {
    const sinceMs = performance.now() - ON_THE_WAY_MS;
    for (const { content, atMs } of this.#answered) if (atMs >= sinceMs) this.uncertain.add(content);
    this.#answered = [];
    this.#isKilling = true;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#done;
  }

  async #run(target: Installation): Promise<void> {
    for (let i = 0; !this.#isOver; i += 1) {
      const content = `<${i}>`;
      for (;;) {
        try {
          await target.publish({
            channel: "load",
            formats: { "http-stream": { content }, "ws-message": { content } },
          });
          break;
        } catch {
          this.repeated.add(content);
        }
      }
      this.published.push(content);
      // The one that was under way at the kill: its answer may have been on the way.
      if (this.#isKilling) this.uncertain.add(content);
      this.#isKilling = false;
      this.#answered.push({ content, atMs: performance.now() });
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** Random numbers that are the same every time (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * What a client should have: every number in order. One whose answer got lost may be there twice; one
 * that was answered in the last moments of a handler may be missing.
 */
function check(received: readonly string[], publisher: Publisher): void {
  const expected = [...received];
  let at = 0;
  for (const content of publisher.published) {
    if (publisher.uncertain.has(content) && expected[at] !== content) continue;
    expect(expected[at], `in place ${at} of ${expected.slice(at - 3, at + 6).join("")}`).toBe(content);
    at += 1;
    if (publisher.repeated.has(content) && expected[at] === content) at += 1;
  }
  expect(expected.length).toBe(at);
}

describe.each<Role>(["handler", "proxy", "httpclient"])("given many clients under load", (role) => {
  test(`when the ${role} is killed at random moments, then nobody is dropped, and everybody gets everything in order`, async () => {
    const random = seeded(role.length);
    installation = await Installation.start({
      routes: [`* ${backend.address},over_http`],
    });
    const { url } = installation;
    const streams = await many(STREAMS, () => HttpStream.open(`${url}/stream?channel=load`));
    const sockets = await many(SOCKETS, () =>
      SocketClient.open(`${url.replace("http", "ws")}/woh?channel=load`),
    );
    for (const stream of streams) await stream.received("[open]\n");
    // Subscribed is who has got something.
    await until("all subscriptions", async () => {
      await installation.publish({ channel: "load", formats: { "ws-message": { content: "?" } } });
      return sockets.every((one) => one.messages.length > 0);
    });
    for (const socket of sockets) socket.messages.length = 0;
    const publisher = new Publisher(installation);
    const answered: number[] = [];
    for (let kill = 0; kill < KILLS; kill += 1) {
      await new Promise((resolve) => setTimeout(resolve, random() * 200));
      const restarted = crash(installation, role);
      if (role === "handler") publisher.noteKill();
      const startMs = performance.now();
      expect((await HttpStream.whole(`${url}/echo`)).status).toBe(200);
      answered.push(performance.now() - startMs);
      for (const socket of sockets) socket.send(`to backend ${kill}`);
      await restarted;
    }
    await until("the last number", () => publisher.published.length > 20);
    await publisher.stop();
    const last = publisher.published[publisher.published.length - 1] as string;
    for (const stream of streams) await stream.received(last);
    for (const socket of sockets) {
      await socket.received(last);
      for (let kill = 0; kill < KILLS; kill += 1) await socket.received(`to backend ${kill}`);
    }
    if (process.env.PUSHPIN_TEST_CRASH_CLIENTS !== undefined)
      console.log(role, { published: publisher.published.length, repeated: publisher.repeated.size, answered });
    for (const stream of streams) {
      expect(stream.end).toBeUndefined();
      check(stream.text.match(/<\d+>/g) ?? [], publisher);
    }
    for (const socket of sockets) {
      expect(socket.closed).toBeUndefined();
      check(socket.messages.map(String).filter((one) => one.startsWith("<")), publisher);
    }
    for (const stream of streams) stream.close();
    for (const socket of sockets) socket.socket.terminate();
  }, 120_000);
});

async function many<T>(count: number, open: () => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  while (all.length < count)
    all.push(...(await Promise.all(Array.from({ length: Math.min(50, count - all.length) }, open))));
  return all;
}
