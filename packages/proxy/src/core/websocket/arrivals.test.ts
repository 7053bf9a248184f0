import { ManualClock } from "@pushpin/clock";
import { expect, test } from "vitest";
import { ARRIVAL_MAX_MS, Arrivals } from "./arrivals.ts";

function given() {
  const clock = new ManualClock();
  const arrivals = new Arrivals(clock);
  const seen: boolean[] = [];
  return { clock, arrivals, seen, done: (isThere: boolean) => void seen.push(isThere) };
}

test("given an HTTP client that is there, when it is awaited, then the answer comes at once", () => {
  const { arrivals, seen, done } = given();
  arrivals.arrived("httpclient-0-a");
  arrivals.await("httpclient-0-a", done);
  expect(seen).toEqual([true]);
});

test("given one that comes later, when it is awaited, then the answer comes with it, once", () => {
  const { arrivals, seen, done, clock } = given();
  arrivals.await("httpclient-0-a", done);
  arrivals.arrived("httpclient-1-b");
  expect(seen).toEqual([]);
  arrivals.arrived("httpclient-0-a");
  clock.advance(ARRIVAL_MAX_MS);
  expect(seen).toEqual([true]);
});

test("given one that has a successor, when it is awaited before or after that, then it is not there", () => {
  const { arrivals, seen, done } = given();
  arrivals.await("httpclient-0-a", done);
  arrivals.arrived("httpclient-0-b");
  arrivals.await("httpclient-0-a", done);
  expect(seen).toEqual([false, false]);
});

test("given one that never comes, when the time is up, then it is not there", () => {
  const { arrivals, seen, done, clock } = given();
  arrivals.await("httpclient-0-a", done);
  clock.advance(ARRIVAL_MAX_MS);
  expect(seen).toEqual([false]);
});
