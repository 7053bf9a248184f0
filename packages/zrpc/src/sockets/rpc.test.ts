import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "@pushpin/log";
import { decode, encode } from "@pushpin/tnetstrings";
import { ZmqSocket } from "@pushpin/zmq";
import { expect, test } from "vitest";
import { RpcServer } from "./rpc-server.ts";

test.each([
  [true, [{ success: true, value: "first" }, { success: true, value: "second", id: "1" }]],
  [false, [{ success: true, value: "second", id: "1" }]],
])("given a server that answers all: %s, when a request has no id, then that decides", async (answersAll, expected) => {
  const directory = await mkdtemp(join(tmpdir(), "zrpc-"));
  const addr = { specs: [`ipc://${directory}/rpc`] };
  const server = await RpcServer.open({
    addr: { ...addr, mode: "bind" },
    log: silentLog,
    answersAll,
    onRequest: (method, _args, _from, reply) => reply({ success: true, value: method }),
  });
  const answers: unknown[] = [];
  let settle = () => {};
  const settled = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const client = await ZmqSocket.open({
    ...addr,
    type: "dealer",
    mode: "connect",
    log: silentLog,
    onMessage: (frames) => {
      const answer = decode(frames.at(-1) ?? Buffer.alloc(0));
      answers.push(answer.ok && answer.value instanceof Map ? Object.fromEntries(answer.value) : answer);
      if (answers.length === expected.length) settle();
    },
  });
  for (const request of [{ method: "first" }, { id: "1", method: "second" }])
    client.send([Buffer.alloc(0), encode(request)]);
  await settled;
  expect(answers).toEqual(expected);
  await Promise.all([client.close(), server.close()]);
  await rm(directory, { recursive: true, force: true });
});
