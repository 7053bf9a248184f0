import { describe, expect, test } from "vitest";
import { BEAT_MS, Heartbeat } from "./heartbeat.ts";

const looks = (heartbeat: Heartbeat, count: number) =>
  Array.from({ length: count }, () => heartbeat.look());

describe("given a process that may be silent for three seconds", () => {
  test("when it never said a word, then it is not watched", () => {
    expect(looks(new Heartbeat(3 * BEAT_MS), 100)).not.toContain(true);
  });

  test("when it has fallen silent, then the fourth look finds it hanging", () => {
    const heartbeat = new Heartbeat(3 * BEAT_MS);
    heartbeat.beat();
    expect(looks(heartbeat, 4)).toEqual([false, false, false, true]);
  });

  test("when it says something in between, then it starts anew", () => {
    const heartbeat = new Heartbeat(3 * BEAT_MS);
    heartbeat.beat();
    looks(heartbeat, 3);
    heartbeat.beat();
    expect(looks(heartbeat, 3)).not.toContain(true);
  });
});

test("given no limit, when it is silent, then that is nobody's business", () => {
  const heartbeat = new Heartbeat(0);
  heartbeat.beat();
  expect(looks(heartbeat, 100)).not.toContain(true);
});
