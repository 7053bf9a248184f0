import { describe, expect, test } from "vitest";
import { BEAT_MS, Heartbeat } from "./heartbeat.ts";

const looks = (heartbeat: Heartbeat, count: number) =>
  Array.from({ length: count }, () => heartbeat.look());

describe("given a process that may be silent for three seconds", () => {
  const given = () => {
    const heartbeat = new Heartbeat(3 * BEAT_MS, 0);
    heartbeat.ready();
    return heartbeat;
  };

  test("when it never said a word, then it is not watched", () => {
    expect(looks(given(), 100)).toEqual(Array(100).fill(undefined));
  });

  test("when it has fallen silent, then the fourth look finds it hanging", () => {
    const heartbeat = given();
    heartbeat.beat();
    expect(looks(heartbeat, 4)).toEqual([undefined, undefined, undefined, "silent"]);
  });

  test("when it says something in between, then it starts anew", () => {
    const heartbeat = given();
    heartbeat.beat();
    looks(heartbeat, 3);
    heartbeat.beat();
    expect(looks(heartbeat, 3)).not.toContain("silent");
  });
});

describe("given a process that may take three seconds to start", () => {
  test("when it hangs before it has said a word, then the fourth look finds it hanging", () => {
    expect(looks(new Heartbeat(0, 3 * BEAT_MS), 4)).toEqual([undefined, undefined, undefined, "not ready"]);
  });

  test("when it is alive and does not become ready, then it is found likewise", () => {
    const heartbeat = new Heartbeat(10 * BEAT_MS, 3 * BEAT_MS);
    heartbeat.beat();
    looks(heartbeat, 3);
    heartbeat.beat();
    expect(heartbeat.look()).toBe("not ready");
  });

  test("when it is ready in time, then that is all there is to watch", () => {
    const heartbeat = new Heartbeat(0, 3 * BEAT_MS);
    looks(heartbeat, 3);
    heartbeat.ready();
    expect(looks(heartbeat, 100)).toEqual(Array(100).fill(undefined));
  });
});

test("given no limits, when it is silent, then that is nobody's business", () => {
  const heartbeat = new Heartbeat(0, 0);
  heartbeat.beat();
  expect(looks(heartbeat, 100)).toEqual(Array(100).fill(undefined));
});
