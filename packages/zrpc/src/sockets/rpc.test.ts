import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "@pushpin/log";
import { decode, encode } from "@pushpin/tnetstrings";
import { ZmqSocket } from "@pushpin/zmq";
import { expect, test } from "vitest";
import { RPC_BATCH_MAX } from "../core/envelope.ts";
import { RpcClient } from "./rpc-client.ts";
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

test("given a server that answers some questions later, when many are asked in one turn, then each gets its own answer", async () => {
  const directory = await mkdtemp(join(tmpdir(), "zrpc-"));
  const addr = { specs: [`ipc://${directory}/rpc`] };
  const server = await RpcServer.open({
    addr: { ...addr, mode: "bind" },
    log: silentLog,
    onRequest: (method, _args, _from, reply) => {
      const answer = () => reply({ success: true, value: method });
      if (method.endsWith("3")) setImmediate(answer);
      else answer();
    },
  });
  const client = await RpcClient.open({
    addr: { ...addr, mode: "connect" },
    timeoutMs: 10_000,
    log: silentLog,
    batches: true,
  });
  const methods = Array.from({ length: 3 * RPC_BATCH_MAX }, (_, n) => `m${n}`);
  for (let round = 0; round < 2; round += 1) {
    const answers = await Promise.all(methods.map((method) => client.call(method, {})));
    expect(answers).toEqual(methods.map((value) => ({ success: true, value })));
  }
  expect(server.malformed).toBe(0);
  await Promise.all([client.close(), server.close()]);
  await rm(directory, { recursive: true, force: true });
});

test("given questions of one turn that a server did not get, when they are asked again, then each is asked once", async () => {
  const directory = await mkdtemp(join(tmpdir(), "zrpc-"));
  const addr = { specs: [`ipc://${directory}/rpc`] };
  const asked: string[] = [];
  const client = await RpcClient.open({
    addr: { ...addr, mode: "bind" },
    timeoutMs: 10_000,
    log: silentLog,
    batches: true,
  });
  const answers = Promise.all(["a", "b", "c"].map((method) => client.call(method, {})));
  client.askAgain();
  const server = await RpcServer.open({
    addr: { ...addr, mode: "connect" },
    log: silentLog,
    onRequest: (method, _args, _from, reply) => {
      asked.push(method);
      reply({ success: true, value: method });
    },
  });
  await answers;
  expect(asked.slice(-3)).toEqual(["a", "b", "c"]);
  expect(asked.filter((one) => one !== "a")).toEqual(["b", "c"]);
  await Promise.all([client.close(), server.close()]);
  await rm(directory, { recursive: true, force: true });
});
