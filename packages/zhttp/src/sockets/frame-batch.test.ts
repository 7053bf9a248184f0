import { describe, expect, test } from "vitest";
import { decodeFrame, Packet } from "../core/index.ts";
import { BATCH_PACKETS_MAX, FlushTurn, FrameBatch } from "./frame-batch.ts";

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
