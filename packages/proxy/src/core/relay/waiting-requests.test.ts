import { Packet } from "@pushpin/zhttp";
import { expect, test } from "vitest";
import { WAITING_REQUESTS_MAX, WaitingRequests } from "./waiting-requests.ts";

const request = (id: string, isInternal = false) => {
  const packet = new Packet();
  packet.from = "c";
  packet.id = id;
  return { packet, isInternal };
};

test("given requests of clients and of the handler, when a place is free, then clients come first, each in its order", () => {
  const waiting = new WaitingRequests();
  for (const one of [request("h1", true), request("c1"), request("h2", true), request("c2")])
    waiting.add(one);
  const order = [1, 2, 3, 4, 5].map(() => waiting.takeFirst()?.packet.id);
  expect(order).toEqual(["c1", "c2", "h1", "h2", undefined]);
});

test("given a request that waits, when it is given up, then its turn does not come", () => {
  const waiting = new WaitingRequests();
  waiting.add(request("a"));
  waiting.add(request("b"));
  expect([waiting.remove("c", "a"), waiting.remove("other", "b")]).toEqual([true, false]);
  expect([waiting.takeFirst()?.packet.id, waiting.size]).toEqual(["b", 0]);
});

test("given as many as may wait, when half of them have had their turn, then more may come", () => {
  const waiting = new WaitingRequests();
  for (let i = 0; i < WAITING_REQUESTS_MAX; i += 1) {
    expect(waiting.isFull).toBe(false);
    waiting.add(request(String(i)));
  }
  expect([waiting.isFull, waiting.hasRoom]).toEqual([true, false]);
  while (!waiting.hasRoom) waiting.takeFirst();
  expect([waiting.size, waiting.isFull]).toEqual([WAITING_REQUESTS_MAX / 2, false]);
});
