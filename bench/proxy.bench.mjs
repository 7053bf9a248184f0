import { systemClock } from "@pushpin/clock";
import { proxySettings } from "@pushpin/config";
import { memoryLog } from "@pushpin/log";
import { Engine, KeyStore, RouteTable } from "@pushpin/proxy";
import { StatsRecorder } from "@pushpin/stats";
import { decodePacket, encodePacket, Packet } from "@pushpin/zhttp";
import { measure } from "./measure.mjs";

const log = Object.assign(memoryLog(), { level: 1 });
const settings = Object.fromEntries(
  Object.entries(proxySettings.settings).map(([key, one]) => [key, one.fallback]),
);
let toBackend;
let answered = 0;
const sockets = {
  clients: {
    send: (_to, packet) => {
      if (packet.code !== undefined) answered += 1;
      encodePacket(packet);
    },
    pauseIntake: () => {},
    resumeIntake: () => {},
  },
  backends: {
    sendFirst: (packet) => {
      encodePacket(packet);
      toBackend = packet.id;
    },
    send: (_to, packet) => encodePacket(packet),
  },
  zhttpTargets: { stream: () => undefined, isReachable: () => false, has: () => false, tick: () => {} },
};
const engine = new Engine({
  instanceId: "proxy-0-18f3a",
  settings: { ...settings, sig_key: "changeme" },
  openRequestsMax: Number.POSITIVE_INFINITY,
  shareAll: false,
  decodesContent: false,
  keys: new KeyStore("/", log),
  clock: systemClock,
  log,
  stats: new StatsRecorder({
    instanceId: "proxy",
    connectionTtlMs: 120_000,
    sendConnections: true,
    subscriptionTtlMs: 60_000,
    reportIntervalMs: 10_000,
    nowMs: systemClock.nowMs(),
    isWanted: () => false,
    publish: () => {},
  }),
  sockets: () => sockets,
});
engine.routes = RouteTable.parse(["* localhost:80"], () => {});

const request = Object.assign(new Packet(), {
  from: "connmgr-0-18f3a",
  id: "@@@@@@@@",
  seq: 0,
  method: "GET",
  uri: "http://localhost:7999/plain",
  headers: ["Host", "localhost:7999", "User-Agent", "bench", "Accept", "*/*"],
  credits: 200_000,
  stream: true,
  multi: true,
  batch: true,
  peerAddress: "127.0.0.1",
  peerPort: 50000,
});
const response = Object.assign(new Packet(), {
  from: "httpclient-0-18f3a",
  id: "@@@@@@@@",
  seq: 0,
  code: 200,
  reason: "OK",
  headers: ["Server", "nginx", "Content-Type", "text/plain", "Content-Length", "6"],
  multi: true,
  batch: true,
  body: "hello\n",
});
const requestText = encodePacket(request).toString("latin1");
const responseText = encodePacket(response).toString("latin1");
let n = 0;
measure("proxy: a request and its response, packets in and out", () => {
  n += 1;
  const id = String(10_000_000 + (n % 80_000_000));
  engine.first(decodePacket(Buffer.from(requestText.replace("@@@@@@@@", id), "latin1")).value);
  const prefix = `${toBackend.length}:`;
  const frame = responseText.replace("8:@@@@@@@@", prefix + toBackend);
  // The length in front changes with that of the id.
  const body = frame.slice(frame.indexOf(":") + 1);
  engine.packet(
    decodePacket(Buffer.from(`T${body.length - 1}:${body}`, "latin1")).value,
  );
});
if (answered < n) throw new Error(`${answered} of ${n} answered`);
await engine.stop();
process.exit(0);
