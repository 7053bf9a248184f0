// `npm run bench:compare`: ours and the original of the system, in turns on this machine. One Node.js process is all the
// clients, which bounds the rates; the CPU time of the server's processes for each operation is not bounded by it.
import { parseArgs } from "node:util";
import { systemProgram } from "@pushpin/testkit";
import { Installed, median } from "./installed.mjs";

const { values: options } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, streams: { type: "string", default: "1000" } },
});
const ROUNDS = Number(options.rounds);
const STREAMS = Number(options.streams);
const REQUESTS = 8000;
const MESSAGES = 200;
const PUBLISHES = 2000;
const IN_FLIGHT = 4;

if (systemProgram("pushpin") === undefined) {
  console.error("the original is not installed: on Debian, apt-get install pushpin condure zurl");
  process.exit(2);
}

async function measured(server, count, run) {
  const before = server.cpuSeconds();
  const started = performance.now();
  await run();
  const seconds = (performance.now() - started) / 1000;
  return { perSecond: count / seconds, cpuUs: ((server.cpuSeconds() - before) / count) * 1e6 };
}

async function measureAll(who) {
  const server = await Installed.start(who);
  try {
    // A warm-up, which is not counted.
    await server.requests(2000, 64);
    (await server.hold(500)).close();
    const requests = await measured(server, REQUESTS, () => server.requests(REQUESTS, 64));
    let held;
    const opened = await measured(server, STREAMS, async () => {
      held = await server.hold(STREAMS);
    });
    const deliveries = await measured(server, STREAMS * MESSAGES, async () => {
      for (let i = 0; i < MESSAGES; i += 1) {
        await server.publishOnce("all", `message ${i}~`);
        await held.until((i + 1 - IN_FLIGHT) * STREAMS);
      }
      await held.until(MESSAGES * STREAMS);
    });
    const publishes = await measured(server, PUBLISHES, async () => {
      let left = PUBLISHES;
      const one = async () => {
        while (left-- > 0) await server.publishOnce("nobody", "x~");
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, one));
    });
    held.close();
    return { requests, opened, deliveries, publishes };
  } finally {
    await server.stop();
  }
}

const TEXTS = {
  requests: "proxied requests, 64 connections",
  opened: "streams opened and held",
  deliveries: `deliveries to ${STREAMS.toLocaleString("en-US")} streams`,
  publishes: "publishes over HTTP, a connection each",
};
const results = { pushpin: [], ours: [] };
for (let round = 1; round <= ROUNDS; round += 1)
  for (const who of ["pushpin", "ours"]) {
    console.error(`${who}, ${round} of ${ROUNDS}`);
    results[who].push(await measureAll(who));
  }
console.log("| | original /s | ours /s | ratio | original CPU µs | ours CPU µs | ratio |");
console.log("| --- | --- | --- | --- | --- | --- | --- |");
for (const [key, text] of Object.entries(TEXTS)) {
  const of = (who, field) => median(results[who].map((one) => one[key][field]));
  const rates = [of("pushpin", "perSecond"), of("ours", "perSecond")];
  const costs = [of("pushpin", "cpuUs"), of("ours", "cpuUs")];
  const round = (value) => Math.round(value).toLocaleString("en-US");
  const cells = [...rates.map(round), (rates[1] / rates[0]).toFixed(2)];
  cells.push(...costs.map((us) => (us >= 100 ? round(us) : us.toPrecision(3))), `1/${(costs[0] / costs[1]).toFixed(2)}`);
  console.log(`| ${text} | ${cells.join(" | ")} |`);
}
process.exit(0);
