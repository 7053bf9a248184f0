// What an anchor costs a held stream: its size, and the time to write and to read it. `node bench/anchors.mjs`, after a build.
import { decodeAnchor, encodeAnchor } from "@pushpin/zhttp";

const ROUNDS = 7;
const TIMES = 20_000;

const anchor = {
  kind: "stream",
  origin: {
    proxyId: "proxy-0-8vmey1tt38",
    statsRoute: "",
    channelPrefix: "",
    trusted: false,
    uri: "http://example.com/events/stream?channel=news",
    sid: "",
  },
  client: { peerAddress: "192.0.2.17", https: true, debug: false, routerResp: true },
  implicit: [],
  instruct: {
    channels: [{ name: "news", filters: [] }],
    meta: new Map([["user", "alice"]]),
    keepAlive: { data: Buffer.from("\n"), timeoutS: 20, mode: "idle" },
  },
};

/** Median. Unit: µs of CPU time. */
function costOf(run) {
  const costs = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = process.cpuUsage();
    for (let i = 0; i < TIMES; i += 1) run();
    const { user, system } = process.cpuUsage(before);
    costs.push((user + system) / TIMES);
  }
  return Number(costs.sort((a, b) => a - b)[ROUNDS >> 1].toFixed(2));
}

const text = encodeAnchor(anchor);
console.log(
  JSON.stringify({
    name: "anchor of a held stream",
    bytes: text.length,
    encodeUs: costOf(() => encodeAnchor(anchor)),
    decodeUs: costOf(() => decodeAnchor(text)),
    node: process.version,
  }),
);
