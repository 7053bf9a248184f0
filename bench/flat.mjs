// `npm run bench:flat`: what one delivery, request or publish costs while little or much is held. CPU time of all
// processes of an installation, measured in turns, so that what else the machine does falls on both.
import { parseArgs } from "node:util";
import { Installed, median } from "./installed.mjs";

const { values: options } = parseArgs({
  options: { held: { type: "string", default: "18000" }, rounds: { type: "string", default: "5" } },
});
const HELD = Number(options.held);
const ROUNDS = Number(options.rounds);
const REQUESTS = 6000;
const DELIVERIES = 200_000;
const PUBLISHES = 10_000;

/** Median CPU microseconds of one operation, of each of the subjects, in turns; the first turn warms up. */
async function compare(subjects) {
  const samples = subjects.map(() => []);
  for (let round = 0; round <= ROUNDS; round += 1)
    for (const [i, { server, count, run }] of subjects.entries()) {
      const before = server.cpuSeconds();
      await run();
      const us = ((server.cpuSeconds() - before) / count) * 1e6;
      if (round > 0) samples[i].push(us);
    }
  return samples.map((one) => ({ median: median(one), least: Math.min(...one), most: Math.max(...one) }));
}

const cell = ({ median: middle, least, most }) =>
  `${middle.toPrecision(3)} (${least.toPrecision(3)}–${most.toPrecision(3)})`;
function print(text, [low, high]) {
  console.log(`| ${text} | ${cell(low)} | ${cell(high)} | ${(high.median / low.median).toFixed(2)} |`);
}

const open = [];
async function start(heldCount, channel, routes) {
  const server = await Installed.start("ours", { routes });
  const entry = { server, held: undefined };
  open.push(entry);
  entry.held = await server.hold(heldCount, channel);
  return entry;
}
async function stopAll() {
  for (const { server, held } of open.splice(0)) {
    held?.close();
    await server.stop();
  }
}

try {
  console.log("| CPU time of one, all processes (µs) | little | much | ratio |\n| --- | --- | --- | --- |");
  {
    const few = await start(100);
    const many = await start(10_000);
    const deliver = ({ server, held }, subscribers) => {
      const messages = DELIVERIES / subscribers;
      const publisher = server.publisher();
      return {
        server,
        count: DELIVERIES,
        // A few at a time, as a loaded publisher does.
        run: async () => {
          const end = held.received + DELIVERIES;
          for (let i = 0; i < messages; i += 1) {
            await publisher.publish("all", `message ${i}~`);
            await held.until(end - DELIVERIES + (i - 3) * subscribers);
          }
          await held.until(end);
        },
      };
    };
    print("delivery: 100 and 10,000 subscribers", await compare([deliver(few, 100), deliver(many, 10_000)]));
    await stopAll();
  }
  {
    const empty = await start(0);
    const full = await start(HELD, (i) => `channel-${i}`);
    const request = ({ server }) => ({ server, count: REQUESTS, run: () => server.requests(REQUESTS, 64) });
    const subscribers = `0 and ${HELD.toLocaleString("en-US")} held, each on its channel`;
    print(`request: ${subscribers}`, await compare([request(empty), request(full)]));
    const publish = ({ server }) => {
      const publisher = server.publisher();
      return {
        server,
        count: PUBLISHES,
        run: async () => {
          for (let i = 0; i < PUBLISHES; i += 1) await publisher.publish("nobody", "x~");
        },
      };
    };
    print(`publish to nobody: ${subscribers}`, await compare([publish(empty), publish(full)]));
    await stopAll();
  }
  {
    const one = await start(0);
    const many = await start(0, undefined, 10_000);
    const request = ({ server }) => ({ server, count: REQUESTS, run: () => server.requests(REQUESTS, 64) });
    print("request: 1 and 10,000 routes", await compare([request(one), request(many)]));
  }
} finally {
  await stopAll();
}
process.exit(0);
