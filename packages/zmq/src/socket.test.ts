import { silentLog } from "@pushpin/log";
import { expect, test } from "vitest";
import { ZmqSocket } from "./socket.ts";

test("given a closed SUB socket, when channels come and go, then nothing happens", async () => {
  const socket = await ZmqSocket.open({
    type: "sub",
    specs: ["tcp://127.0.0.1:*"],
    mode: "bind",
    log: silentLog,
    onMessage: () => {},
  });
  socket.subscribe("channel");
  await socket.close();
  expect(() => {
    socket.subscribe("another");
    socket.unsubscribe("channel");
  }).not.toThrow();
  socket.send(Buffer.from("late"));
});

test("given a socket that starts paused, when messages arrive before it is resumed, then they wait for that", async () => {
  const spec = "inproc://paused";
  const got: string[] = [];
  let settle = () => {};
  const settled = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const pull = await ZmqSocket.open({
    type: "pull",
    specs: [spec],
    mode: "bind",
    isPaused: true,
    log: silentLog,
    onMessage: ([frame]) => {
      got.push(String(frame));
      if (got.length === 3) settle();
    },
  });
  const push = await ZmqSocket.open({ type: "push", specs: [spec], mode: "connect", log: silentLog });
  for (const text of ["a", "b", "c"]) push.send(Buffer.from(text));
  for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(got).toEqual([]);
  pull.resume();
  await settled;
  expect(got).toEqual(["a", "b", "c"]);
  await Promise.all([push.close(), pull.close()]);
});
