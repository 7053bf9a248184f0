import { runInNewContext } from "node:vm";
import { setFlagsFromString } from "node:v8";
import { InitialBodyFilter, parseInstruct } from "@pushpin/grip";
import { type Backend, HttpStream, Installation, until } from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { HandlerRig } from "./handler-rig.ts";

const TEXT = ["Content-Type", "text/plain"];

describe("given an installation in debug mode", () => {
  let backend: Backend;
  let installation: Installation;

  beforeAll(async () => {
    backend = await startGripBackend();
    installation = await Installation.start({
      routes: [`plain.test ${backend.address}`, `*,debug ${backend.address}`],
    });
  });

  afterAll(async () => {
    await installation?.stop();
    await backend?.stop();
  });

  const ask = (path: string, spec = {}) => HttpStream.whole(`${installation.url}${path}`, spec);

  test("handler R6: when a hold is malformed, then clients see a plain error", async () => {
    const given = { headers: { Host: "plain.test" } };
    const response = await ask("/answer?Grip-Hold=foo", given);
    expect(response.status).toBe(502);
    expect(response.headers["content-type"]).toBe("text/plain");
    expect(response.headers["content-length"]).toBe("32");
    expect(response.text).toBe("Error while proxying to origin.\n");
  });

  test("handler R20, proxy R80: when the body of a long poll is too large, then it is refused", async () => {
    const response = await ask("/answer?Grip-Hold=response&Grip-Channel=c&size=150000");
    expect(response.status).toBe(502);
    expect(response.text).toBe(`GRIP instruct response too large from ${backend.address}\n`);
  });

  test("handler R21, proxy R81: when the body of a stream is too large to hand over, then it is sent all the same", async () => {
    const stream = await HttpStream.open(
      `${installation.url}/answer?Grip-Hold=stream&Grip-Channel=large&size=150000`,
    );
    await until("the whole body", () => stream.text.length === 150_000);
    expect(Object.keys(stream.headers).filter((one) => one.startsWith("grip-"))).toEqual([]);
    expect(stream.headers["content-length"]).toBeUndefined();
    await until("an item", async () => {
      await installation.publish({ channel: "large", formats: { "http-stream": { content: "END" } } });
      return stream.text.includes("END");
    });
    expect(stream.text.indexOf("END")).toBe(150_000);
    stream.close();
  });

  test("handler R22, proxy R79: when the request's body was too large to keep, then it cannot be held", async () => {
    const response = await ask("/answer?Grip-Hold=stream&Grip-Channel=c", {
      method: "POST",
      body: "x".repeat(150_000),
    });
    expect(response.status).toBe(400);
    expect(response.text).toBe("Request too large to accept GRIP instruct.\n");
  });
});

test("handler R85, R86: given an initial body in pieces, when ids are built in it, then they may be cut anywhere", () => {
  const parsed = parseInstruct({
    code: 200,
    reason: "OK",
    headers: [
      ...TEXT,
      ...["Grip-Hold", "stream", "Grip-Channel", "c; filter=build-id"],
      ...["Grip-Set-Meta", "id_format=C3PO, id_encoding=hex"],
    ],
    body: "",
  });
  if (!parsed.ok) throw new Error(parsed.error);
  const filter = new InitialBodyFilter(parsed.value);
  const pieces = ["The ID is %", "(", "R2D", "2", ")", "I."].map((one) => filter.update(one));
  expect(pieces[0]).toEqual({ ok: true, value: "The ID is " });
  const rest = filter.finish();
  const text = [...pieces, rest].map((one) => (one.ok ? String(one.value) : one.error)).join("");
  expect(text).toBe("The ID is 52324432.");
});

test("given 100,000 subscriptions over 20,000 channels, when all are gone, then so is their memory", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const heapBytes = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const rig = new HandlerRig({ subscriptionLingerMs: 0 });
  const beforeBytes = heapBytes();
  for (let i = 0; i < 20_000; i += 1) {
    const channels = Array.from({ length: 5 }, (_, n) => `channel-${(i * 5 + n * 4001) % 20_000}`);
    rig.hold([...TEXT, "Grip-Hold", "stream", "Grip-Channel", channels.join(", ")]);
    rig.toClients.length = 0;
  }
  const heldBytes = heapBytes() - beforeBytes;
  // What the test itself keeps of each client is in it too.
  expect(heldBytes).toBeLessThan(150 * 1_048_576);
  for (const client of rig.clients.values()) rig.disconnect(client);
  rig.clients.clear();
  rig.subscriptions.length = 0;
  rig.stats.length = 0;
  rig.advance(2000);
  expect(rig.core.holds).toBe(0);
  expect(heapBytes() - beforeBytes).toBeLessThan(15 * 1_048_576);
}, 120_000);

test("given 2,000 streams that miss an item, then few different requests are made at a time, and deliveries pass them", () => {
  const rig = new HandlerRig({ recoverConcurrency: 10 });
  const held = (i: number) => [
    ...TEXT,
    ...["Grip-Hold", "stream", "Grip-Channel", "c; prev-id=1", "Grip-Channel", "other"],
    ...["Grip-Link", `</next/${i % 100}>; rel=next`],
  ];
  const clients = Array.from({ length: 2000 }, (_, i) => rig.hold(held(i)));
  const bystander = rig.hold([...TEXT, "Grip-Hold", "stream", "Grip-Channel", "other"]);
  rig.stream("c", "three", { id: "3", "prev-id": "2" });
  let most = 0;
  let asked = 0;
  for (let step = 0; step < 4000 && asked < 2000; step += 1) {
    rig.advance(25);
    most = Math.max(most, new Set(rig.open.map((one) => one.uri)).size);
    if (step === 4) {
      rig.stream("other", "now");
      expect(bystander.body).toBe("now");
    }
    for (const one of rig.open) {
      asked += 1;
      rig.answer(one, 200, [...TEXT, "Grip-Hold", "stream", "Grip-Channel", "c; prev-id=3"], "r");
    }
    rig.asked.length = 0;
  }
  expect(asked).toBe(2000);
  expect(most).toBeLessThanOrEqual(10);
  expect(clients.every((one) => one.body.includes("r"))).toBe(true);
}, 60_000);
