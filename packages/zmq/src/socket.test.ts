import { pbkdf2 } from "node:crypto";
import { link, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { silentLog } from "@pushpin/log";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ZmqSocket } from "./socket.ts";

const hash = promisify(pbkdf2);

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

describe("given a peer that waits for a socket, with much to say", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "zmq-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  test("when opening that takes long, then nothing is delivered before it is open, and everything afterwards", async () => {
    const spec = `ipc://${join(directory, "s")}`;
    const push = await ZmqSocket.open({ type: "push", specs: [spec], mode: "connect", log: silentLog });
    for (let i = 0; i < 3; i += 1) push.send(Buffer.from(String(i)));
    const got: string[] = [];
    let settle = () => {};
    const settled = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const opening = ZmqSocket.open({
      type: "pull",
      specs: [spec],
      mode: "bind",
      ipcFileMode: 0o777,
      log: silentLog,
      onMessage: ([frame]) => {
        if (got.push(String(frame)) === 3) settle();
      },
    });
    // Whatever it wants of the thread pool stands behind this.
    let isOpen = false;
    const crowd = Array.from({ length: 40 }, async () => {
      while (!isOpen) await hash("p", "s", 5000, 64, "sha256");
    });
    const pull = await opening;
    isOpen = true;
    expect(got).toEqual([]);
    await settled;
    expect(got).toEqual(["0", "1", "2"]);
    await Promise.all([push.close(), pull.close(), ...crowd]);
  });
});

describe("given an ipc path at which there is something already", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "zmq-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const open = (path: string, onMessage: (text: string) => void = () => {}) =>
    ZmqSocket.open({
      type: "pull",
      specs: [`ipc://${path}`],
      mode: "bind",
      log: silentLog,
      onMessage: ([frame]) => onMessage(String(frame)),
    });

  test("when another socket listens there, then the second is refused by name, and the first goes on", async () => {
    const path = join(directory, "s");
    let tell = (_text: string) => {};
    const told = new Promise<string>((resolve) => {
      tell = resolve;
    });
    const first = await open(path, (text) => tell(text));
    await expect(open(path)).rejects.toThrow(`unable to bind to ipc://${path}: Address already in use`);
    const push = await ZmqSocket.open({
      type: "push",
      specs: [`ipc://${path}`],
      mode: "connect",
      log: silentLog,
    });
    push.send(Buffer.from("still here"));
    expect(await told).toBe("still here");
    await Promise.all([push.close(), first.close()]);
  });

  test("when whoever listens is about to go, then it is waited for a moment, and the path taken", async () => {
    const path = join(directory, "s");
    const server = createServer(() => server.close());
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await (await open(path)).close();
  });

  test("when it is only the file of a process that is gone, then it is taken", async () => {
    const path = join(directory, "s");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(`${path}-before`, resolve));
    await link(`${path}-before`, path);
    await new Promise((resolve) => server.close(resolve));
    await (await open(path)).close();
  });
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
