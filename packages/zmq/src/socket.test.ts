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
