// `node bench/takeover.mjs [--held 8000]`: what it costs that clients survive the death of proxy and handler. Two
// installations, one with `takeover=false`, in turns, so that what else the machine does falls on both.
import { parseArgs } from "node:util";
import { Installed, median } from "./installed.mjs";

const { values: options } = parseArgs({ options: { held: { type: "string", default: "8000" } } });
const ROUNDS = 8;
const PER_ROUND = Math.ceil(Number(options.held) / ROUNDS);
const DELIVERIES = 40_000;
/** Until requests that are over have been forgotten. */
const SETTLE_MS = 2000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const usOf = async (server, count, run) => {
  const before = server.cpuSeconds();
  await run();
  return ((server.cpuSeconds() - before) / count) * 1e6;
};

const subjects = [];
for (const [name, global] of [["with", ""], ["without", "takeover=false\n"]])
  subjects.push({
    name,
    server: await Installed.start("ours", { global, collects: true }),
    held: [],
    acceptUs: [],
    acceptPerSecond: [],
    deliverUs: [],
  });
/** Each is the first of the two as often as the other. */
const inTurn = (round) => (round % 2 === 0 ? subjects : subjects.toReversed());
try {
  // The first round warms up, and what the processes have grown by then is not counted.
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const one of inTurn(round)) {
      const startedMs = performance.now();
      const us = await usOf(one.server, PER_ROUND, async () => {
        one.held.push(await one.server.hold(PER_ROUND, () => `round-${round}`));
      });
      if (round > 0) {
        one.acceptUs.push(us);
        one.acceptPerSecond.push((PER_ROUND * 1000) / (performance.now() - startedMs));
      }
    }
    if (round === 0) {
      await sleep(SETTLE_MS);
      for (const one of subjects) one.before = await one.server.memory();
    }
  }
  await sleep(SETTLE_MS);
  for (const one of subjects) one.after = await one.server.memory();
  for (let round = 0; round <= ROUNDS; round += 1)
    for (const one of inTurn(round)) {
      const [listeners] = one.held;
      const times = Math.ceil(DELIVERIES / PER_ROUND);
      const publisher = one.server.publisher();
      const us = await usOf(one.server, times * PER_ROUND, async () => {
        const wanted = listeners.received + times * PER_ROUND;
        for (let i = 0; i < times; i += 1) await publisher.publish("round-0", "some text of an item~");
        await listeners.until(wanted);
      });
      publisher.close();
      if (round > 0) one.deliverUs.push(us);
    }
} finally {
  for (const one of subjects) {
    for (const held of one.held) held.close();
    await one.server.stop();
  }
}

const count = ROUNDS * PER_ROUND;
console.log(`node ${process.version}, ${count} streams held by each`);
const print = (text, figure) =>
  console.log(`${text.padEnd(44)}${subjects.map((one) => figure(one).padStart(12)).join("")}`);
print("", (one) => one.name);
for (const role of ["connmgr", "proxy", "handler"])
  print(`${role}: bytes in use for each`, ({ before, after }) =>
    Math.round((after.get(role) - before.get(role)) / count).toString(),
  );
print("accepting one, µs of CPU of all processes", ({ acceptUs }) => median(acceptUs).toFixed(0));
print("accepted per second", ({ acceptPerSecond }) => median(acceptPerSecond).toFixed(0));
print("a delivery, µs of CPU of all processes", ({ deliverUs }) => median(deliverUs).toFixed(2));
