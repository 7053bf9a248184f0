import { type Backend, HttpStream, Installation, SocketClient, until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { crash, type Role } from "./crash.ts";

/** `npm run crash` has 5,000, ten times each; a fifth as many of every other kind of client. */
const STREAMS = Number(process.env.PUSHPIN_TEST_CRASH_CLIENTS ?? 200);
const OTHERS = Math.ceil(STREAMS / 5);
const KILLS = Number(process.env.PUSHPIN_TEST_CRASH_KILLS ?? 2);
const SEED = Number(process.env.PUSHPIN_TEST_CRASH_SEED ?? 7);
const ROLES: readonly Role[] = ["handler", "proxy", "httpclient"];
/** With many clients the test itself needs the time. */
const PUBLISH_PAUSE_MS = Math.max(5, (STREAMS + OTHERS) / 25);
const PATIENCE_MS = 60_000;
/** Longer than a packet stays in a process, on a slow machine. */
const ON_THE_WAY_MS = 100;
/** Until they are answered, however long that takes here. */
const POLL = "Grip-Hold=response&Grip-Timeout=3600";
/** WebSockets with a connection to the backend are closed by the death of these. */
const CLOSING: ReadonlySet<Role> = new Set<Role>(["httpclient"]);

let backend: Backend;
let installation: Installation;
let publisher: Publisher | undefined;

beforeAll(async () => {
  backend = await startGripBackend();
});
afterAll(() => backend.stop());
afterEach(async () => {
  publisher?.giveUp();
  await installation?.stop();
});

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
  #isGivenUp = false;
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

  /** Nobody looks at it any more. */
  giveUp(): void {
    this.#isOver = true;
    this.#isGivenUp = true;
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
          if (this.#isGivenUp) return;
          this.repeated.add(content);
        }
      }
      this.published.push(content);
      // The one that was under way at the kill: its answer may have been on the way.
      if (this.#isKilling) this.uncertain.add(content);
      this.#isKilling = false;
      this.#answered.push({ content, atMs: performance.now() });
      await new Promise((resolve) => setTimeout(resolve, PUBLISH_PAUSE_MS));
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

/** Whom to kill, each as often as the others. */
function schedule(random: () => number): Role[] {
  const all = Array.from({ length: KILLS }, () => ROLES).flat();
  for (let i = all.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [all[i], all[j]] = [all[j] as Role, all[i] as Role];
  }
  return all;
}

/**
 * What a client should have: every number in order. One whose answer got lost may be there twice; one
 * that was answered in the last moments of a handler may be missing.
 */
function faultOf(received: readonly string[], publisher: Publisher): string | undefined {
  let at = 0;
  for (const content of publisher.published) {
    if (publisher.uncertain.has(content) && received[at] !== content) continue;
    if (received[at] !== content)
      return `no ${content} in place ${at} of ${received.slice(Math.max(0, at - 3), at + 6).join("")}`;
    at += 1;
    if (publisher.repeated.has(content) && received[at] === content) at += 1;
  }
  return received.length === at ? undefined : `more than was published: ${received.slice(at).join("")}`;
}

/** How long what begins when a process dies has to wait. Unit: ms. */
class Gaps {
  readonly #byRole = new Map<string, number[]>();

  note(what: string, ms: number): void {
    this.#byRole.set(what, [...(this.#byRole.get(what) ?? []), Math.round(ms)]);
  }

  get summary(): Record<string, { p50: number; max: number }> {
    return Object.fromEntries(
      [...this.#byRole].map(([what, all]) => {
        const sorted = [...all].sort((a, b) => a - b);
        return [what, { p50: sorted[sorted.length >> 1] ?? 0, max: sorted[sorted.length - 1] ?? 0 }];
      }),
    );
  }
}

describe("given many clients of all kinds under load", () => {
  test("when processes are killed at random moments, then nobody is dropped, and everybody gets everything in order", async () => {
    const random = seeded(SEED);
    installation = await Installation.start({
      routes: [`* ${backend.address},over_http`, `*,path_beg=/plain ${backend.address}`],
      config: { handler: { update_on_first_subscription: "false" } },
    });
    const { url } = installation;
    const socketUrl = url.replace("http", "ws");
    const streams = await many(STREAMS, () => HttpStream.open(`${url}/stream?channel=load`));
    const sockets = await many(OTHERS, () => SocketClient.open(`${socketUrl}/woh?channel=load`));
    let throughs = await many(OTHERS, () => SocketClient.open(`${socketUrl}/plain`));
    for (const stream of streams) await stream.received("[open]\n", PATIENCE_MS);
    // Subscribed is who has got something.
    await until(
      "all subscriptions",
      async () => {
        await installation.publish({ channel: "load", formats: { "ws-message": { content: "?" } } });
        return sockets.every((one) => one.messages.length > 0);
      },
      PATIENCE_MS,
    );
    for (const socket of sockets) socket.messages.length = 0;
    const gaps = new Gaps();
    const numbers = new Publisher(installation);
    publisher = numbers;
    const kills: string[] = [];
    for (const [kill, role] of schedule(random).entries()) {
      const polls = await openPolls(url, kill);
      await new Promise((resolve) => setTimeout(resolve, random() * PUBLISH_PAUSE_MS * 10));
      if (role === "handler") numbers.noteKill();
      kills.push(`${role} at <${numbers.published.length}>`);
      const startMs = performance.now();
      const since = () => performance.now() - startMs;
      const restarted = crash(installation, role).then(() => gaps.note(`${role}: replaced`, since()));
      const message = `to backend ${kill}`;
      for (const socket of sockets) socket.send(message);
      if (!CLOSING.has(role)) for (const socket of throughs) socket.send(message);
      const plain = HttpStream.whole(`${url}/echo`).then((answer) => {
        gaps.note(`${role}: a request`, since());
        return answer;
      });
      const held = HttpStream.open(`${url}/stream?channel=other`).then(async (stream) => {
        await stream.received("[open]", PATIENCE_MS);
        gaps.note(`${role}: a new stream`, since());
        stream.close();
      });
      const [answer] = await Promise.all([plain, held, restarted]);
      expect(answer.status).toBe(200);
      await polls.answered();
      throughs = await lookAtThroughs(throughs, role, message, socketUrl);
    }
    await until("the last number", () => numbers.published.length > 20);
    await numbers.stop();
    const last = numbers.published[numbers.published.length - 1] as string;
    for (const stream of streams) await stream.received(last, PATIENCE_MS);
    const faults: string[] = [];
    for (const socket of sockets) {
      await socket.received(last, PATIENCE_MS);
      for (let kill = 0; kill < KILLS * ROLES.length; kill += 1)
        await socket.received(`to backend ${kill}`, PATIENCE_MS);
      const fault = faultOf(socket.messages.map(String).filter((one) => one.startsWith("<")), numbers);
      if (fault !== undefined || socket.closed !== undefined)
        faults.push(`WebSocket: ${fault ?? JSON.stringify(socket.closed)}`);
    }
    for (const stream of streams) {
      const fault = stream.end ?? faultOf(stream.text.match(/<\d+>/g) ?? [], numbers);
      if (fault !== undefined) faults.push(`stream: ${fault}`);
    }
    if (process.env.PUSHPIN_TEST_CRASH_CLIENTS !== undefined)
      console.log({
        seed: SEED,
        kills: KILLS * ROLES.length,
        streams: STREAMS,
        longPolls: OTHERS,
        overHttp: OTHERS,
        passThrough: OTHERS,
        published: numbers.published.length,
        publishedAgain: numbers.repeated.size,
        faults: faults.length,
        gapsMs: gaps.summary,
      });
    expect(faults.slice(0, 10), `killed: ${kills.join(", ")}`).toEqual([]);
    for (const stream of streams) stream.close();
    for (const socket of [...sockets, ...throughs]) socket.socket.terminate();
  }, 1_200_000);
});

/** Long polls that wait while something dies, and are answered afterwards, every one. */
async function openPolls(url: string, kill: number): Promise<{ answered: () => Promise<void> }> {
  const channel = `polls-${kill}`;
  const seen = installation.runner.output.length;
  const texts: string[] = [];
  const note = (text: string): void => void texts.push(text);
  for (let i = 0; i < OTHERS; i += 1)
    HttpStream.whole(`${url}/answer?${POLL}&Grip-Channel=${channel}`).then(
      (answer) => note(answer.text),
      (error: Error) => note(error.message),
    );
  const subscribed = new RegExp(`subscribe .*channel=${channel}$`, "gm");
  await until(
    "all long polls",
    () => (installation.runner.output.slice(seen).match(subscribed)?.length ?? 0) >= OTHERS,
    PATIENCE_MS,
  );
  return {
    answered: async () => {
      await installation.publish({ channel, formats: { "http-response": { body: "answered" } } });
      await until("the answers of all long polls", () => texts.length === OTHERS, PATIENCE_MS);
      expect(new Set(texts)).toEqual(new Set(["answered"]));
    },
  };
}

/** Those that had to be closed are opened again. */
async function lookAtThroughs(
  throughs: SocketClient[],
  role: Role,
  message: string,
  socketUrl: string,
): Promise<SocketClient[]> {
  if (!CLOSING.has(role)) {
    const silent = () =>
      throughs.filter((one) => one.closed !== undefined || !one.messages.includes(message));
    await until(message, () => silent().length === 0, PATIENCE_MS).catch(() => {});
    const lost = silent().map(({ closed, messages }) => ({ closed, last: messages.at(-1) }));
    expect(lost.slice(0, 10), `after the death of the ${role}`).toEqual([]);
    return throughs;
  }
  for (const socket of throughs) expect((await socket.end(PATIENCE_MS)).code).toBe(1012);
  return many(OTHERS, () => SocketClient.open(`${socketUrl}/plain`));
}

async function many<T>(count: number, open: () => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  while (all.length < count)
    all.push(...(await Promise.all(Array.from({ length: Math.min(50, count - all.length) }, open))));
  return all;
}
