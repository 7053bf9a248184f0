import { describe, expect, test } from "vitest";
import { decodeFrame, Packet, PART_MIN_BYTES } from "../core/index.ts";
import { BATCH_BYTES_MAX, BATCH_PACKETS_MAX, FlushTurn, FrameBatch } from "./frame-batch.ts";

/** A turn with one batch; `frames` are the ids in each frame that went out. */
function given() {
  const frames: string[][] = [];
  const turn = new FlushTurn();
  const batch = new FrameBatch({
    address: "",
    isSingle: false,
    send: (frame) => {
      const ids: string[] = [];
      decodeFrame(frame, 0, ({ id }) => ids.push(id), expect.unreachable);
      frames.push(ids);
    },
  });
  const add = (...ids: string[]) => {
    for (const id of ids) turn.add(batch, Object.assign(new Packet(), { from: "a", id }));
  };
  return { turn, frames, add };
}

/** Bodies of each message that goes out: those in the frame, and how many parts are behind it. */
function givenParts(takesParts: boolean, isSingle = false) {
  const messages: { bodies: number[]; parts: number }[] = [];
  const batch = new FrameBatch({
    address: "",
    isSingle,
    takesParts: () => takesParts,
    send: (frame, parts) => {
      const bodies: number[] = [];
      decodeFrame(frame, 0, ({ body }) => bodies.push(body.length), expect.unreachable, parts);
      messages.push({ bodies, parts: parts.length });
    },
  });
  const add = (...sizes: number[]) => {
    for (const size of sizes)
      batch.add(Object.assign(new Packet(), { from: "a", id: "b", body: Buffer.alloc(size) }));
  };
  return { batch, messages, add };
}

describe("given packets with large bodies", () => {
  const LARGE = PART_MIN_BYTES;

  test("when the receiver takes them as parts, then they stay in order with others in one message", () => {
    const { batch, messages, add } = givenParts(true);
    add(1, LARGE, 2, LARGE);
    batch.flush();
    add(3);
    batch.flush();
    expect(messages).toEqual([
      { bodies: [1, LARGE, 2, LARGE], parts: 2 },
      { bodies: [3], parts: 0 },
    ]);
  });

  test("when parts fill the message, then it goes out", () => {
    const { messages, add } = givenParts(true);
    const half = BATCH_BYTES_MAX / 2 - 500;
    add(half, half);
    expect(messages).toEqual([]);
    add(1000);
    expect(messages).toEqual([
      { bodies: [half, half, 1000], parts: 2 },
    ]);
  });

  test.each([
    ["the receiver does not take parts", false, false],
    ["each packet has a frame of its own", true, true],
  ])("when %s, then there are none", (_what, takesParts, isSingle) => {
    const { batch, messages, add } = givenParts(takesParts, isSingle);
    add(LARGE);
    batch.flush();
    expect(messages).toEqual([{ bodies: [LARGE], parts: 0 }]);
  });
});

const endOfTurn = () => new Promise((resolve) => setImmediate(resolve));

describe("given turns that brought no more than one packet", () => {
  test("when another comes, then it goes out at once", async () => {
    const { frames, add } = given();
    add("1");
    expect(frames).toEqual([["1"]]);
    await endOfTurn();
    add("2");
    expect(frames).toEqual([["1"], ["2"]]);
  });

  test("when several come in one turn, then those after the first go together at its end", async () => {
    const { frames, add } = given();
    add("1", "2", "3");
    expect(frames).toEqual([["1"]]);
    await endOfTurn();
    expect(frames).toEqual([["1"], ["2", "3"]]);
  });
});

describe("given a turn that brought several packets", () => {
  test("when more come in the next, then all go at its end, and one alone in the turn after that waits no more", async () => {
    const { frames, add } = given();
    add("1", "2");
    await endOfTurn();
    add("3");
    expect(frames).toEqual([["1"], ["2"]]);
    await endOfTurn();
    expect(frames).toEqual([["1"], ["2"], ["3"]]);
    add("4");
    expect(frames.at(-1)).toEqual(["4"]);
  });

  test("when a frame is full, then it goes out before the end", async () => {
    const { frames, add } = given();
    add("1", "2");
    await endOfTurn();
    const ids = Array.from({ length: BATCH_PACKETS_MAX }, (_, n) => `${n}`);
    add(...ids);
    expect(frames.at(-1)).toEqual(ids);
  });

  test("when the sockets close, then what waits goes out", async () => {
    const { turn, frames, add } = given();
    add("1", "2");
    turn.flush();
    expect(frames).toEqual([["1"], ["2"]]);
    await endOfTurn();
    expect(frames).toEqual([["1"], ["2"]]);
  });
});
