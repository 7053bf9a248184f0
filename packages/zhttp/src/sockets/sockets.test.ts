import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memoryLog } from "@pushpin/log";
import { encode } from "@pushpin/tnetstrings";
import { ZmqSocket } from "@pushpin/zmq";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { decodeFrame, encodePacket, Packet } from "../core/index.ts";
import { HELD_FOLLOW_UPS_MAX, HELD_FOLLOW_UPS_MAX_MS, InitiatorSockets } from "./initiator-sockets.ts";
import { LEAVE_ANSWERS_MAX_MS, ResponderSockets, type ResponderSocketsOptions } from "./responder-sockets.ts";

let directory: string;
const open: { close(): Promise<void> }[] = [];
const log = memoryLog();

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "zhttp-"));
});

afterEach(async () => {
  vi.useRealTimers();
  for (const one of open.splice(0)) await one.close();
  await rm(directory, { recursive: true, force: true });
});

const at = (name: string, mode: "bind" | "connect") => ({
  specs: [`ipc://${directory}/${name}`],
  mode,
});

/** Packets as they arrive, awaited one by one. */
class Inbox {
  #packets: Packet[] = [];
  #waiting: ((packet: Packet) => void)[] = [];
  readonly take = (packet: Packet): void => {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#packets.push(packet);
    else waiting(packet);
  };
  next(): Promise<Packet> {
    const packet = this.#packets.shift();
    if (packet !== undefined) return Promise.resolve(packet);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

async function pair(batchFirst: boolean, batchFrames = true) {
  const firsts = new Inbox();
  const follows = new Inbox();
  const answers = new Inbox();
  let appeared: (id: string) => void = () => {};
  const initiatorSeen = new Promise<string>((resolve) => {
    appeared = resolve;
  });
  let greeted = () => {};
  const greeting = new Promise<void>((resolve) => {
    greeted = resolve;
  });
  const initiator = await InitiatorSockets.open({
    instanceId: "cm-1",
    push: at("out", "bind"),
    stream: at("out-stream", "bind"),
    sub: at("in", "bind"),
    batchFirst,
    batchFrames,
    log,
    onPacket: answers.take,
  });
  open.push(initiator);
  const responder = await ResponderSockets.open({
    instanceId: "px-1",
    pull: at("out", "connect"),
    stream: at("out-stream", "connect"),
    pub: at("in", "connect"),
    batchFrames,
    log,
    onFirst: firsts.take,
    onPacket: follows.take,
    onPeer: (id, present) => present && appeared(id),
    onHandedOver: () => greeted(),
  });
  open.push(responder);
  expect(await initiatorSeen).toBe("cm-1");
  if (batchFirst) {
    responder.announce();
    await greeting;
  }
  return { initiator, responder, firsts, follows, answers };
}

/** A responder that takes no first packets. */
function openAnswering(more: Partial<ResponderSocketsOptions> = {}): Promise<ResponderSockets> {
  return ResponderSockets.open({
    instanceId: "px-1",
    stream: at("out-stream", "connect"),
    pub: at("in", "connect"),
    log,
    onFirst: () => {},
    onPacket: () => {},
    ...more,
  });
}

/** Waits, turn by turn, also where timers are not real. */
async function turnsUntil(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

function packet(fields: Partial<Packet>): Packet {
  return Object.assign(new Packet(), fields);
}

describe.each([
  { batchFirst: false, batchFrames: true },
  { batchFirst: true, batchFrames: true },
  { batchFirst: false, batchFrames: false },
])("given both ends of ours, batches: $batchFrames, of first packets: $batchFirst", (batches) => {
  test("when a session runs, then packets of each link arrive in order", async () => {
    const { initiator, responder, firsts, follows, answers } = await pair(
      batches.batchFirst,
      batches.batchFrames,
    );
    for (let seq = 0; seq < 40; seq += 1)
      initiator.sendFirst(packet({ from: "cm-1", id: `${seq}`, seq: 0, batch: true }));
    for (let i = 0; i < 40; i += 1) expect((await firsts.next()).id).toBe(`${i}`);
    expect(responder.isBatchPeer("cm-1")).toBe(true);
    for (let seq = 0; seq < 40; seq += 1)
      responder.send(
        "cm-1",
        packet({ from: "px-1", id: "0", seq, body: Buffer.alloc(6000, seq), batch: true }),
        false,
      );
    for (let i = 0; i < 40; i += 1) expect((await answers.next()).seq).toBe(i);
    for (let seq = 1; seq < 40; seq += 1)
      initiator.send("px-1", packet({ from: "cm-1", id: "0", seq }));
    for (let i = 1; i < 40; i += 1) expect((await follows.next()).seq).toBe(i);
    responder.send("cm-1", packet({ from: "px-1", id: "0", seq: 99 }), true);
    expect((await answers.next()).seq).toBe(99);
  });
});

describe.each([true, false])("given both ends of ours after the start, batches: %s", (batchFrames) => {
  test("when bodies are large and small, then each arrives whole and in order by every way", async () => {
    const { initiator, responder, firsts, follows, answers } = await pair(false, batchFrames);
    responder.announce();
    // It comes by the same way as the answer to the announcement, behind it.
    const large = (seq: number) => Buffer.alloc(seq % 3 === 0 ? 100 : 20_000 + seq, `${seq}`);
    initiator.sendFirst(packet({ from: "cm-1", id: "0", seq: 0, batch: true, body: large(1) }));
    expect((await firsts.next()).body).toEqual(large(1));
    for (let seq = 0; seq < 40; seq += 1) {
      responder.send("cm-1", packet({ from: "px-1", id: "0", seq, body: large(seq), batch: true }), false);
      expect(textOf(await answers.next())).toBe(`${seq} ${large(seq).toString()}`);
    }
    for (let seq = 1; seq < 40; seq += 1)
      initiator.send("px-1", packet({ from: "cm-1", id: "0", seq, body: large(seq) }));
    for (let seq = 1; seq < 40; seq += 1)
      expect(textOf(await follows.next())).toBe(`${seq} ${large(seq).toString()}`);
    for (let seq = 0; seq < 40; seq += 1)
      responder.send("cm-1", packet({ from: "px-1", id: "0", seq, body: large(seq) }), true);
    for (let seq = 0; seq < 40; seq += 1)
      expect(textOf(await answers.next())).toBe(`${seq} ${large(seq).toString()}`);
    expect(initiator.malformed + responder.malformed).toBe(0);
  });
});

function textOf({ seq, body }: Packet): string {
  return `${seq} ${Buffer.from(body as string, "latin1").toString()}`;
}

describe("given first packets to whoever connects", () => {
  const first = (id: string) => packet({ from: "cm-1", id, seq: 0 });

  test("when one of ours has said that it is there, then they go in batches, until it is gone", async () => {
    const initiator = await InitiatorSockets.open({
      instanceId: "cm-1",
      push: at("out", "bind"),
      stream: at("out-stream", "bind"),
      sub: at("in", "bind"),
      batchFirst: true,
      log,
      onPacket: () => {},
    });
    open.push(initiator);
    const frames: string[] = [];
    let arrived = () => {};
    const received = async (isIt: (letters: string) => boolean) => {
      while (!isIt(frames.join("")))
        await new Promise<void>((resolve) => {
          arrived = resolve;
        });
      return frames.splice(0).join("");
    };
    const connect = () =>
      ZmqSocket.open({
        ...at("out", "connect"),
        type: "pull",
        log,
        onMessage: ([frame]) => {
          frames.push(String(frame).slice(0, 1));
          arrived();
        },
      });
    const pull = await connect();
    initiator.sendFirst(first("a"));
    expect(await received((letters) => letters.length === 1)).toBe("T");
    let greeted = () => {};
    const greeting = new Promise<void>((resolve) => {
      greeted = resolve;
    });
    const responder = await openAnswering({
      onHandedOver: () => greeted(),
    });
    open.push(responder);
    responder.announce();
    await greeting;
    initiator.sendFirst(first("b"));
    initiator.sendFirst(first("c"));
    expect(await received((letters) => letters.length === 1)).toBe("B");
    await pull.close();
    await turnsUntil(() => initiator.epoch > 0);
    open.push(await connect());
    // What goes to the one that is just going is lost.
    const sending = setInterval(() => initiator.sendFirst(first("d")), 5);
    const letters = await received((some) => some.length > 0).finally(() => clearInterval(sending));
    expect(letters).toMatch(/^T+$/);
  });
});

describe("given an initiator that answers our announcement", () => {
  /** Sockets of an initiator, and what comes by its SUB. */
  async function given(ext: Packet["ext"]) {
    const messages: Buffer[][] = [];
    let arrived = () => {};
    const sub = await ZmqSocket.open({
      ...at("in", "bind"),
      type: "sub",
      log,
      subscribe: ["cm-1 ", "batch cm-1"],
      onMessage: (one) => {
        messages.push(one);
        arrived();
      },
    });
    const stream = await ZmqSocket.open({
      ...at("out-stream", "bind"),
      type: "router",
      identity: "cm-1",
      log,
      onMessage: ([from]) => {
        const back = encodePacket(packet({ type: "takeover", from: "cm-1", ext }));
        stream.send([from as Buffer, Buffer.alloc(0), back]);
      },
    });
    open.push(sub, stream);
    let handedOver = () => {};
    const done = new Promise<void>((resolve) => {
      handedOver = resolve;
    });
    const follows = new Inbox();
    const responder = await ResponderSockets.open({
      instanceId: "px-1",
      stream: at("out-stream", "connect"),
      pub: at("in", "connect"),
      log,
      onFirst: () => {},
      onPacket: follows.take,
      onHandedOver: () => handedOver(),
    });
    open.push(responder);
    responder.announce();
    await done;
    const answered = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    responder.send("cm-1", packet({ from: "px-1", id: "a", body: Buffer.alloc(10_000) }), false);
    await answered;
    const send = (...parts: Buffer[]) =>
      stream.send([Buffer.from("px-1"), Buffer.alloc(0), ...parts]);
    return { message: messages[0], responder, follows, send };
  }

  test("when it says that it takes parts, then a large body is one, behind the packet with its size", async () => {
    const { message } = await given(new Map([["parts", true]]));
    expect(message?.[0]?.toString()).toBe("cm-1 B43:4:from,4:px-1,2:id,1:a,9:body-size,5:10000#}");
    expect(message?.slice(1)).toEqual([Buffer.alloc(10_000)]);
  });

  test("when it only takes batches, then the body stands in the frame", async () => {
    const { message } = await given(undefined);
    expect(message).toHaveLength(1);
    expect(message?.[0]?.toString("latin1", 0, 6)).toBe("cm-1 B");
  });

  test("when a part is missing or one too many, then that is counted, and the next packet is read", async () => {
    const { responder, follows, send } = await given(undefined);
    const head = Buffer.from("T39:4:from,4:cm-1,2:id,1:a,9:body-size,1:5#}");
    const body = Buffer.from("hello");
    const whole = encodePacket(packet({ from: "cm-1", id: "b" }));
    send(head);
    send(head, body, body);
    send(whole, body);
    send(head, Buffer.from("hell"));
    send(head, body);
    const packets = [await follows.next(), await follows.next(), await follows.next()];
    expect(packets.map(({ id, body: got }) => `${id} ${got.toString()}`)).toEqual(["a hello", "b ", "a hello"]);
    expect(responder.malformed).toBe(4);
  });
});

describe("given an initiator of ours that has just started", () => {
  test("when its request comes before the way back is open, then the answer waits for that", async () => {
    const push = await ZmqSocket.open({ ...at("out", "bind"), type: "push", log });
    const sub = await ZmqSocket.open({
      ...at("in", "bind"),
      type: "sub",
      log,
      subscribe: ["cm-1 ", "batch cm-1"],
      onMessage: () => {},
    });
    open.push(push, sub);
    let answered = () => {};
    const asked = new Promise<void>((resolve) => {
      answered = resolve;
    });
    const responder = await ResponderSockets.open({
      instanceId: "px-1",
      pull: at("out", "connect"),
      stream: at("out-stream", "connect"),
      pub: at("in", "connect"),
      log,
      onFirst: (first) => {
        responder.send(first.from, packet({ from: "px-1", id: first.id, seq: 0, code: 200 }), true);
        answered();
      },
      onPacket: () => {},
    });
    open.push(responder);
    responder.announce();
    push.send(encodePacket(packet({ from: "cm-1", id: "a", seq: 0, batch: true })));
    await asked;
    const inbox = new Inbox();
    const stream = await ZmqSocket.open({
      ...at("out-stream", "bind"),
      type: "router",
      identity: "cm-1",
      log,
      onMessage: ([from, , frame]) => {
        const taken = (one: Packet) => {
          if (one.type !== "takeover") return inbox.take(one);
          const back = encodePacket(packet({ type: "takeover", from: "cm-1" }));
          stream.send([from as Buffer, Buffer.alloc(0), back]);
        };
        decodeFrame(frame as Buffer, 0, taken, () => {});
      },
    });
    open.push(stream);
    expect(await inbox.next()).toMatchObject({ id: "a", code: 200 });
  });
});

describe("given an initiator of ours one of whose subscriptions is late", () => {
  test("when it comes after a first announcement would have been given up, then it is told all the same", async () => {
    const sub = await ZmqSocket.open({
      ...at("in", "bind"),
      type: "sub",
      log,
      subscribe: ["batch cm-1"],
      onMessage: () => {},
    });
    open.push(sub);
    const responder = await openAnswering();
    open.push(responder);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    responder.announce();
    await turnsUntil(() => responder.isBatchPeer("cm-1"));
    // What cannot be routed is tried again, and again.
    for (let i = 0; i < 10; i += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      vi.advanceTimersByTime(100);
    }
    vi.useRealTimers();
    sub.subscribe("cm-1 ");
    const inbox = new Inbox();
    const stream = await ZmqSocket.open({
      ...at("out-stream", "bind"),
      type: "router",
      identity: "cm-1",
      log,
      onMessage: ([, , frame]) => decodeFrame(frame as Buffer, 0, inbox.take, () => {}),
    });
    open.push(stream);
    expect(await inbox.next()).toMatchObject({ type: "takeover", from: "px-1" });
  });
});

/** An initiator that connects, as the proxy does, and a responder of ours as single sockets. */
async function asked() {
  const answers = new Inbox();
  const initiator = await InitiatorSockets.open({
    instanceId: "px-1",
    push: at("out", "connect"),
    stream: at("out-stream", "connect"),
    sub: at("in", "connect"),
    log,
    onPacket: answers.take,
  });
  open.push(initiator);
  let subscribed = () => {};
  const isSubscribed = new Promise<void>((resolve) => {
    subscribed = resolve;
  });
  const pub = await ZmqSocket.open({
    ...at("in", "bind"),
    type: "xpub",
    log,
    onSubscription: (topic) => topic === "px-1 " && subscribed(),
  });
  open.push(pub);
  await isSubscribed;
  const answer = encodePacket(packet({ from: "hc-1", id: "a", seq: 0, type: "credit", credits: 100, batch: true }));
  pub.send(Buffer.concat([Buffer.from("px-1 "), answer]));
  await answers.next();
  const inbox = new Inbox();
  const listen = async () => {
    const stream = await ZmqSocket.open({
      ...at("out-stream", "bind"),
      type: "router",
      identity: "hc-1",
      log,
      onMessage: ([, , frame]) => decodeFrame(frame as Buffer, 0, inbox.take, () => {}),
    });
    open.push(stream);
    return stream;
  };
  return { initiator, inbox, listen };
}

describe("given a responder of ours that has just started, and has answered over its PUB", () => {
  const followUp = (seq: number) => packet({ from: "px-1", id: "a", seq, body: Buffer.from(`${seq}`) });
  const takeover = [Buffer.from("px-1"), Buffer.alloc(0), encodePacket(packet({ type: "takeover", from: "hc-1" }))];

  test("when the way of follow-ups is not open yet, then they wait for its announcement, and come in order", async () => {
    const { initiator, inbox, listen } = await asked();
    for (const seq of [1, 2, 3]) initiator.send("hc-1", followUp(seq));
    const stream = await listen();
    while (!(await stream.sendIfRoutable(takeover))) await new Promise((resolve) => setImmediate(resolve));
    for (const seq of [1, 2, 3]) expect(await inbox.next()).toMatchObject({ id: "a", seq });
    expect(await inbox.next()).toMatchObject({ type: "takeover", from: "px-1" });
    initiator.send("hc-1", followUp(4));
    expect(await inbox.next()).toMatchObject({ id: "a", seq: 4 });
  });

  test("when more wait than may, then the newest are dropped, and counted", async () => {
    const { initiator } = await asked();
    for (let i = 0; i < HELD_FOLLOW_UPS_MAX + 2; i += 1) initiator.send("hc-1", followUp(i + 1));
    expect(initiator.dropped).toBe(2);
  });

  test("when it never announces itself, then they are sent after a while all the same", async () => {
    const { initiator, inbox, listen } = await asked();
    const stream = await listen();
    // Routable, and it has said nothing.
    const nothing = [Buffer.from("px-1"), Buffer.alloc(0), Buffer.alloc(0)];
    while (!(await stream.sendIfRoutable(nothing))) await new Promise((resolve) => setImmediate(resolve));
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    initiator.send("hc-1", followUp(1));
    vi.advanceTimersByTime(HELD_FOLLOW_UPS_MAX_MS);
    expect(await inbox.next()).toMatchObject({ id: "a", seq: 1 });
  });
});

describe("given a responder that leaves", () => {
  test("when an initiator of ours is there, then it waits until that has sent it the last first packet", async () => {
    const { initiator, responder, firsts } = await pair(false);
    for (let i = 0; i < 40; i += 1) initiator.sendFirst(packet({ from: "cm-1", id: `${i}`, seq: 0 }));
    await responder.leave();
    initiator.sendFirst(packet({ from: "cm-1", id: "for the next one", seq: 0 }));
    for (let i = 0; i < 40; i += 1) expect((await firsts.next()).id).toBe(`${i}`);
  });

  test("when that says nothing, or is gone, then it does not wait for ever", async () => {
    const sub = await ZmqSocket.open({
      ...at("in", "bind"),
      type: "sub",
      log,
      subscribe: ["batch cm-1", "cm-1 "],
      onMessage: () => {},
    });
    open.push(sub);
    const responder = await openAnswering();
    open.push(responder);
    await turnsUntil(() => responder.isPresent("cm-1") && responder.isBatchPeer("cm-1"));
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const silent = responder.leave();
    vi.advanceTimersByTime(LEAVE_ANSWERS_MAX_MS);
    await silent;
    const gone = responder.leave();
    await sub.close();
    await gone;
    expect(responder.isPresent("cm-1")).toBe(false);
  });
});

describe("given a responder of ours and sockets as the original has them", () => {
  test("when answers go out, then each is one part: id, blank, T and one tnetstring", async () => {
    const frames: Buffer[][] = [];
    let arrived = () => {};
    const two = new Promise<void>((resolve) => {
      arrived = () => frames.length === 2 && resolve();
    });
    const sub = await ZmqSocket.open({
      ...at("in", "bind"),
      type: "sub",
      log,
      subscribe: ["condure "],
      onMessage: (one) => {
        frames.push(one);
        arrived();
      },
    });
    open.push(sub);
    let appeared = () => {};
    const seen = new Promise<void>((resolve) => {
      appeared = resolve;
    });
    const responder = await openAnswering({
      onPeer: () => appeared(),
    });
    open.push(responder);
    await seen;
    for (const seq of [0, 1])
      responder.send("condure", packet({ from: "px-1", id: "a", seq }), false);
    await two;
    expect(frames.map((one) => one[0]?.toString())).toEqual([
      "condure T33:4:from,4:px-1,2:id,1:a,3:seq,1:0#}",
      "condure T33:4:from,4:px-1,2:id,1:a,3:seq,1:1#}",
    ]);
  });

  test("when garbage arrives, then it is counted and logged, and the next packet is read", async () => {
    const push = await ZmqSocket.open({ ...at("out", "bind"), type: "push", log });
    open.push(push);
    const firsts = new Inbox();
    const responder = await ResponderSockets.open({
      instanceId: "px-1",
      pull: at("out", "connect"),
      stream: at("out-stream", "connect"),
      pub: at("in", "connect"),
      log,
      onFirst: firsts.take,
      onPacket: () => {},
    });
    open.push(responder);
    // Connected from here on: what is sent now keeps its order.
    push.send(encodePacket(packet({ from: "cm", id: "first" })));
    await firsts.next();
    for (const garbage of ["", "J{}", "T5:abc", "T9999999999999:"]) push.send(Buffer.from(garbage));
    push.send(Buffer.concat([Buffer.from("T"), encode(["not a map"])]));
    push.send(encodePacket(packet({ from: "cm", id: "good" })));
    expect((await firsts.next()).id).toBe("good");
    expect(responder.malformed).toBe(5);
  });
});
