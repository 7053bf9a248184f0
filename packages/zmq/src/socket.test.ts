import { silentLog } from "@pushpin/log";
import { describe, expect, test } from "vitest";
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

describe("given a message of one part or two", () => {
  const ascii = Buffer.from(Array.from({ length: 1024 }, (_, at) => at % 128));
  test.each([
    ["short bytes", Buffer.from([0, 127, 128, 255])],
    ["short text", Buffer.from("T2:{}")],
    ["all of ASCII", ascii],
    ["one byte that is not ASCII", Buffer.concat([ascii, Buffer.from([0x80])])],
    ["UTF-8", Buffer.from("ä€😀".repeat(100))],
    ["long text", Buffer.alloc(4000, "x")],
    ["nothing", Buffer.alloc(0)],
  ])("when its last part is %s, then these bytes arrive", async (name, part) => {
    const spec = `inproc://${name}`;
    const got: Buffer[][] = [];
    let settle = () => {};
    const settled = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const pull = await ZmqSocket.open({
      type: "pull",
      specs: [spec],
      mode: "bind",
      log: silentLog,
      onMessage: (frames) => {
        if (got.push(frames) === 2) settle();
      },
    });
    const push = await ZmqSocket.open({ type: "push", specs: [spec], mode: "connect", log: silentLog });
    push.send(part);
    push.send([ascii, part]);
    await settled;
    expect(got).toEqual([[part], [ascii, part]]);
    await Promise.all([push.close(), pull.close()]);
  });
});
