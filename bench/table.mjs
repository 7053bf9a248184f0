// `node bench/table.mjs FILE… [--ours NAME] [--original NAME] [--bounds]`: the lines the benchmark harness has written
// (`--out FILE`), as the table of docs/benchmarks.md: medians, spread, ratio, goal, met or missed.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    ours: { type: "string", default: "ours" },
    original: { type: "string", default: "pushpin" },
    bounds: { type: "boolean", default: false },
  },
});
if (files.length === 0) {
  console.error("usage: node bench/table.mjs FILE… [--ours NAME] [--original NAME] [--bounds]");
  process.exit(2);
}

const rate = (metric, text, atLeast) => ({ metric, text, better: atLeast });
const cost = (metric, text, part) => ({ metric, text, better: part });
const none = (metric) => ({ metric, text: metric, none: true });
const QUIET = "quiet time until the last has it, p50 (ms)";
const proxied = [
  rate("req_per_s", "requests/s", 5),
  cost("p50_us", "p50, 64 connections (ms)", 5),
  cost("p99_us", "p99, 64 connections (ms)", 5),
  cost("single_p50_us", "p50, one connection (ms)", 2),
];
const large = [rate("req_per_s", "requests/s", 3)];
const accepts = [rate("accept_per_s", "accepts/s", 2.5), none("failed"), none("dropped")];
const deliveries = (atLeast, part) => [
  rate("deliver_per_s", "deliveries/s", atLeast),
  cost("quiet_all_p50_us", QUIET, part),
  none("lost"),
];
const channels = [
  rate("publish_per_s", "publishes/s", 3),
  cost("full_p99_us", "p99 under load (ms)", 3),
  cost("cpu_s_per_1k_publish", "CPU of a publish (ms)", undefined),
  none("lost"),
];
const memory = [cost("per_conn_at_18000_kib", "memory of a connection, of 18,000 (KiB)", 4)];
const idle = [cost("cpu_percent", "CPU of 10,000 idle connections (%)", 1)];

/** By how much ours is to be better; without a goal, the figure alone. */
const GOALS = {
  "proxy-plain": proxied,
  "proxy-1k": proxied,
  "proxy-64k": large,
  "proxy-1m": large,
  "accept-stream": accepts,
  "accept-ws": accepts,
  "fanout-stream-1k": deliveries(4, 3),
  "fanout-stream-10k": deliveries(3, 3),
  "fanout-ws-1k": deliveries(10, 4),
  "fanout-ws-10k": deliveries(10, 4),
  "channels-10k": channels,
  "channels-10k-zmq": channels,
  // A round ends with the last answer.
  "poll-1k": [cost("quiet_all_p50_us", "a round of 1,000 polls (ms)", 3), none("lost")],
  wsecho: [
    rate("echo_per_s", "round trips/s", 4),
    cost("single_p50_us", "p50, one connection (ms)", 2),
    cost("single_p99_us", "p99, one connection (ms)", 2),
  ],
  "memory-stream": memory,
  "memory-ws": memory,
  "idle-stream": idle,
  "idle-ws": idle,
};

const runs = files
  .flatMap((file) => readFileSync(file, "utf8").split("\n"))
  .filter((line) => line.startsWith("{"))
  .map((line) => JSON.parse(line))
  .filter((run) => run.metrics !== undefined);

function figureOf(target, scenario, metric) {
  const values = runs
    .filter((run) => run.target === target && run.scenario === scenario)
    .map((run) => run.metrics[metric])
    .filter((value) => typeof value === "number")
    .sort((a, b) => a - b);
  if (values.length === 0) return undefined;
  const middle = values.length >> 1;
  const median = values.length % 2 === 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return { median, least: values[0], most: values[values.length - 1], count: values.length };
}

function show(value, metric) {
  const shown = metric.endsWith("_us") || metric === "cpu_s_per_1k_publish" ? value / scaleOf(metric) : value;
  if (shown >= 1000) return Math.round(shown).toLocaleString("en-US");
  return String(Number(shown.toPrecision(3)));
}
/** Microseconds are shown as milliseconds; CPU seconds of a thousand are milliseconds of one. */
const scaleOf = (metric) => (metric.endsWith("_us") ? 1000 : 1);

function cell(figure, metric) {
  if (figure === undefined) return "–";
  const median = show(figure.median, metric);
  if (figure.count === 1) return median;
  return `${median} (${show(figure.least, metric)}–${show(figure.most, metric)})`;
}

/** The busiest threads of the middle run. */
function boundOf(target, scenario) {
  const cpus = runs
    .filter((run) => run.target === target && run.scenario === scenario)
    .map((run) => run.info?.cpu ?? run.info?.full?.cpu)
    .filter((cpu) => cpu !== undefined)
    .sort((a, b) => a.cores_busy - b.cores_busy);
  const cpu = cpus[cpus.length >> 1];
  if (cpu === undefined) return "";
  const others = cpu.elsewhere > 0.5 ? `, others on the machine ${cpu.elsewhere} cores` : "";
  return `${cpu.threads.slice(0, 2).join(", ")}, load client ${cpu.load_client}${others}`;
}

const metCount = { met: 0, missed: 0 };
function row(scenario, { metric, text, better, none: isNone }) {
  const theirs = figureOf(options.original, scenario, metric);
  const ours = figureOf(options.ours, scenario, metric);
  if (ours === undefined) return undefined;
  const isRate = metric.endsWith("_per_s");
  let ratio = "";
  let goal = "";
  let isMet;
  if (isNone) {
    goal = "0";
    isMet = ours.most === 0;
  } else if (theirs !== undefined && ours.median > 0 && theirs.median > 0) {
    const by = isRate ? ours.median / theirs.median : theirs.median / ours.median;
    ratio = isRate || by < 1 ? by.toFixed(2) : `1/${by.toFixed(2)}`;
    if (!isRate && by < 1) ratio = `${(1 / by).toFixed(2)}`;
    if (better !== undefined) {
      goal = better === 1 ? "not more" : isRate ? `≥ ${better}` : `≤ 1/${better}`;
      isMet = by >= better;
    }
  } else if (theirs?.median === 0 && isRate && better !== undefined) {
    // Nothing got through the original at all.
    goal = `≥ ${better}`;
    isMet = ours.median > 0;
  }
  if (isMet !== undefined) metCount[isMet ? "met" : "missed"] += 1;
  const result = isMet === undefined ? "" : isMet ? "met" : "**missed**";
  const bound = options.bounds ? ` ${isMet === false && !isNone ? boundOf(options.ours, scenario) : ""} |` : "";
  return `| ${scenario} | ${text} | ${cell(theirs, metric)} | ${cell(ours, metric)} | ${ratio} | ${goal} | ${result} |${bound}`;
}

const lines = [
  `| scenario | figure | original | ${options.ours} | ratio | goal | |${options.bounds ? " busiest |" : ""}`,
  `| --- | --- | --- | --- | --- | --- | --- |${options.bounds ? " --- |" : ""}`,
];
for (const [scenario, rows] of Object.entries(GOALS))
  for (const one of rows) {
    const line = row(scenario, one);
    if (line !== undefined) lines.push(line);
  }
console.log(lines.join("\n"));
console.error(`${metCount.met} goals met, ${metCount.missed} missed`);
