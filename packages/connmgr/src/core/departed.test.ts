import { Session } from "@pushpin/zhttp";
import { describe, expect, test } from "vitest";
import { DEPARTED_KEPT_MS, DEPARTED_MAX, DEPARTED_MAX_BYTES, Departed } from "./departed.ts";

function session(id: string, peer = "proxy-0-a", anchor = "anchor"): Session {
  const one = new Session({ role: "initiator", kind: "http", from: "cm", id, nowMs: 0, credits: 0 });
  one.peer = peer;
  one.anchor = anchor;
  return one;
}

const isFirst = (peer: string) => peer === "proxy-0-a";
const ids = (sessions: readonly Session[]) => sessions.map((one) => one.id);

describe("given clients that have left", () => {
  test("when their owner is asked, then one question is under way at a time", () => {
    const departed = new Departed();
    expect(departed.add(session("a"), 0)).toBe(1);
    expect(departed.add(session("b"), 0)).toBeUndefined();
    expect(departed.add(session("c", "handler-0-a"), 0)).toBe(3);
    expect(departed.confirmed("proxy-0-a", 1)).toBe(2);
    expect(departed.confirmed("proxy-0-a", 2)).toBeUndefined();
    expect(departed.confirmed("handler-0-a", 3)).toBeUndefined();
    expect(departed.size).toBe(0);
  });

  test("when the owner has a successor, then those it has not confirmed are for that", () => {
    const departed = new Departed();
    for (const id of ["a", "b", "c"]) departed.add(session(id), 0);
    departed.add(session("other", "proxy-1-a"), 0);
    departed.confirmed("proxy-0-a", 1);
    expect(ids(departed.take(isFirst))).toEqual(["b", "c"]);
    expect(departed.size).toBe(1);
    expect(departed.take(isFirst)).toEqual([]);
  });

  test("when a stranger confirms, then nothing happens", () => {
    const departed = new Departed();
    departed.add(session("a"), 0);
    expect(departed.confirmed("proxy-0-x", 1)).toBeUndefined();
    expect(departed.size).toBe(1);
  });

  test("when nobody confirms for too long, then they are forgotten", () => {
    const departed = new Departed();
    departed.add(session("a"), 0);
    departed.add(session("b"), 1);
    departed.expire(DEPARTED_KEPT_MS);
    expect(ids(departed.take(isFirst))).toEqual(["b"]);
  });

  test("when there are too many, then the oldest are forgotten", () => {
    const departed = new Departed();
    for (let i = 0; i <= DEPARTED_MAX; i += 1) departed.add(session(`${i}`), 0);
    expect(departed.size).toBe(DEPARTED_MAX);
    expect(departed.take(isFirst)[0]?.id).toBe("1");
  });

  test("when they take too much, then the oldest are forgotten", () => {
    const departed = new Departed();
    const large = "x".repeat(DEPARTED_MAX_BYTES / 2);
    for (const id of ["a", "b", "c"]) departed.add(session(id, "proxy-0-a", large), 0);
    expect(ids(departed.take(isFirst))).toEqual(["b", "c"]);
  });
});
