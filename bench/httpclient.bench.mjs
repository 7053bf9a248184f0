import { spawn } from "node:child_process";
import { systemClock } from "@pushpin/clock";
import { AddressPolicy, Engine } from "@pushpin/httpclient";
import { silentLog } from "@pushpin/log";
import { encodePacket, Packet } from "@pushpin/zhttp";
import { measureBatches } from "./measure.mjs";

const CONCURRENT = 64;
const BATCH = 2000;

const backend = spawn(process.execPath, [new URL("httpclient-backend.mjs", import.meta.url).pathname], {
  // It ends with its standard input, also when this process fails.
  stdio: ["pipe", "pipe", "inherit"],
});
const line = await new Promise((resolve) => backend.stdout.once("data", resolve));
const [plain, secure] = String(line).trim().split(" ");

function makeEngine(http2) {
  const waiting = new Map();
  const sockets = {
    send: (_to, packet) => {
      encodePacket(packet);
      if (packet.type !== "data" || packet.more) {
        if (packet.type === "error") throw new Error(packet.condition);
        return;
      }
      const done = waiting.get(packet.id);
      waiting.delete(packet.id);
      done?.();
    },
  };
  const policy = new AddressPolicy({ defaultPolicy: "allow", allow: [], deny: [], denyInternal: false });
  const options = { instanceId: "httpclient-0-1", policy, http2 };
  const limits = { connectTimeoutMs: 10_000, timeoutMs: 60_000, exchangesMax: 1000 };
  const engine = new Engine({ ...options, ...limits }, systemClock, silentLog, () => sockets);
  return { engine, waiting };
}

let count = 0;

/** A batch of requests, so many at a time. */
async function batch({ engine, waiting }, fields) {
  let left = BATCH;
  const one = async () => {
    while (left > 0) {
      left -= 1;
      count += 1;
      const id = String(count);
      const packet = Object.assign(new Packet(), {
        from: "proxy-0-1",
        id,
        seq: 0,
        method: "GET",
        headers: ["User-Agent", "bench", "Accept", "*/*"],
        credits: 200_000,
        stream: true,
        multi: true,
        batch: true,
        ignorePolicies: true,
        ignoreTlsErrors: true,
        ...fields,
      });
      await new Promise((resolve) => {
        waiting.set(id, resolve);
        engine.first(packet);
      });
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT }, one));
}

const post = { method: "POST", body: "x".repeat(1000) };
for (const [name, http2, uri, fields] of [
  ["GET over HTTP/1.1", false, `http://127.0.0.1:${plain}/`, {}],
  ["POST of 1,000 bytes over HTTP/1.1", false, `http://127.0.0.1:${plain}/`, post],
  ["GET over HTTP/1.1 and TLS", false, `https://127.0.0.1:${secure}/`, {}],
  ["GET over HTTP/2", true, `https://127.0.0.1:${secure}/`, {}],
  ["POST of 1,000 bytes over HTTP/2", true, `https://127.0.0.1:${secure}/`, post],
]) {
  const made = makeEngine(http2);
  await measureBatches(name, BATCH, () => batch(made, { uri, ...fields }));
  await made.engine.stop(0);
}
backend.kill();
