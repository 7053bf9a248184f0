// Holds idle streams and WebSockets while requests run over keep-alive connections, and watches
// every process: `node test/soak/soak.mjs --streams 20000 --sockets 20000 --requests 1000000
// --connections 1000 --minutes 10`. Run `npm run build` before. Ends with 1 if a client was dropped, a
// request failed or memory grew. Prints a table and, as its last line, one JSON object.
import { fork, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { freePorts } from "@pushpin/testkit";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Clients of one process; descriptors are limited. */
const CLIENTS_PER_PROCESS = 10_000;
/** Clients that are being opened at a time, by one process. */
const OPENING = 200;
const SAMPLE_MS = 5000;
/** Growth after the first minute of load that counts as a leak. */
const GROWTH_MAX = 0.25;

/** `/stream` holds, POSTs of WebSocket events subscribe, everything else is answered. */
async function backend() {
  const grip = (control) => `TEXT ${(control.length + 2).toString(16)}\r\nc:${control}\r\n`;
  const server = createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      if (request.headers["content-type"] === "application/websocket-events") {
        response.setHeader("Content-Type", "application/websocket-events");
        if (!Buffer.concat(pieces).toString("latin1").startsWith("OPEN")) return response.end();
        response.setHeader("Sec-WebSocket-Extensions", 'grip; message-prefix=""');
        const subscribe = JSON.stringify({ type: "subscribe", channel: "soak" });
        return response.end(`OPEN\r\n${grip(subscribe)}`);
      }
      if (request.url === "/stream") {
        response.setHeader("Grip-Hold", "stream");
        response.setHeader("Grip-Channel", "soak");
        return response.end("open\n");
      }
      return response.end("hello\n");
    });
  });
  server.keepAliveTimeout = 600_000;
  server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
}

/** Opens idle clients and counts what they receive. */
async function holder() {
  const counts = { open: 0, closed: 0, failed: 0, received: new Map() };
  process.on("message", ({ port, kind, count, address }) => {
    let started = 0;
    const next = () => {
      if (started >= count) return;
      started += 1;
      const socket = connect({ port, host: "127.0.0.1", localAddress: address });
      let isOpen = false;
      const opened = kind === "stream" ? "open\n" : "\r\n\r\n";
      socket.on("data", (data) => {
        const text = data.toString("latin1");
        if (!isOpen) {
          if (!text.includes(opened) || !/^HTTP\/1.1 (200|101)/.test(text)) return;
          isOpen = true;
          counts.open += 1;
          next();
        }
        for (const [mark] of text.matchAll(/mark-\d+/g))
          counts.received.set(mark, (counts.received.get(mark) ?? 0) + 1);
      });
      socket.on("error", () => {});
      socket.on("close", () => {
        if (isOpen) counts.closed += 1;
        else {
          counts.failed += 1;
          next();
        }
      });
      socket.write(
        kind === "stream"
          ? "GET /stream HTTP/1.1\r\nHost: soak\r\n\r\n"
          : "GET /ws HTTP/1.1\r\nHost: soak\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      );
    };
    for (let i = 0; i < OPENING; i += 1) next();
  });
  setInterval(() => process.send({ ...counts, received: [...counts.received] }), 250);
}

/** Requests at an even pace over keep-alive connections. */
async function load() {
  const counts = { done: 0, errors: 0, dropped: 0, firstError: "" };
  const latencies = new Uint32Array(100_001); // tenths of a millisecond
  process.on("message", ({ port, connections, requests, seconds }) => {
    const startMs = performance.now();
    let sent = 0;
    const idle = [];
    const send = (client) => {
      client.sentMs = performance.now();
      client.text = "";
      sent += 1;
      client.socket.write("GET /hello HTTP/1.1\r\nHost: soak\r\n\r\n");
    };
    const open = () => {
      const client = {
        socket: connect({ port, host: "127.0.0.1", localAddress: "127.0.0.99" }),
        text: "",
        sentMs: -1,
      };
      client.socket.setNoDelay(true);
      client.socket.on("connect", () => idle.push(client));
      client.socket.on("data", (data) => {
        client.text += data.toString("latin1");
        if (!client.text.endsWith("hello\n")) {
          if (client.text.length > 1000 || /^HTTP\/1.1 [45]/.test(client.text)) {
            counts.errors += 1;
            counts.firstError ||= client.text.slice(0, 200);
            client.socket.destroy();
          }
          return;
        }
        latencies[Math.min(100_000, Math.round((performance.now() - client.sentMs) * 10))] += 1;
        client.sentMs = -1;
        counts.done += 1;
        idle.push(client);
      });
      client.socket.on("error", () => {});
      client.socket.on("close", () => {
        counts.dropped += 1;
        const at = idle.indexOf(client);
        if (at >= 0) idle.splice(at, 1);
        open();
      });
    };
    for (let i = 0; i < connections; i += 1) open();
    setInterval(() => {
      const due = Math.min(requests, (requests * (performance.now() - startMs)) / (seconds * 1000));
      while (sent < due && idle.length > 0) send(idle.shift());
    }, 2);
  });
  const at = (share) => {
    let left = counts.done * share;
    for (let i = 0; i < latencies.length; i += 1) {
      left -= latencies[i];
      if (left <= 0) return i / 10;
    }
    return 0;
  };
  setInterval(() => process.send({ ...counts, p50: at(0.5), p99: at(0.99), max: at(1) }), 500);
}

async function main() {
  const { values } = parseArgs({
    options: {
      streams: { type: "string", default: "20000" },
      sockets: { type: "string", default: "20000" },
      requests: { type: "string", default: "1000000" },
      connections: { type: "string", default: "1000" },
      minutes: { type: "string", default: "10" },
      workers: { type: "string", default: "auto" },
    },
  });
  const [streams, sockets, requests, connections] = [
    "streams",
    "sockets",
    "requests",
    "connections",
  ].map((name) => Number(values[name]));
  const seconds = Number(values.minutes) * 60;
  const workers =
    values.workers === "auto"
      ? Math.max(1, Math.ceil((streams + sockets + connections) / 14_000))
      : Number(values.workers);
  const [port, controlPort, pushPort, subPort, commandPort] = await freePorts(5);
  const directory = mkdtempSync(join(tmpdir(), "pp-soak-"));
  const children = [];
  const startRole = (name) => {
    const child = fork(fileURLToPath(import.meta.url), [], {
      env: { ...process.env, SOAK_ROLE: name },
    });
    child.last = undefined;
    child.on("message", (message) => {
      child.last = message;
    });
    children.push(child);
    return child;
  };
  let runner;
  const cleanUp = async () => {
    for (const child of children) child.kill("SIGKILL");
    if (runner !== undefined && runner.exitCode === null) {
      const ended = new Promise((resolve) => runner.once("exit", resolve));
      runner.kill("SIGTERM");
      await ended;
    }
    rmSync(directory, { recursive: true, force: true });
  };
  process.on("SIGINT", () => void cleanUp().then(() => process.exit(1)));
  try {
    const behind = startRole("backend");
    const backendPort = (await wait("the backend", 10, () => behind.last)).port;
    mkdirSync(join(directory, "run"));
    writeFileSync(join(directory, "routes"), `* 127.0.0.1:${backendPort},over_http\n`);
    writeFileSync(
      join(directory, "pushpin.conf"),
      `[global]
include={libdir}/internal.conf
rundir=run
ipc_prefix=p-
[runner]
services=connmgr,httpclient,proxy,handler
http_port=127.0.0.1:${port}
logdir=log
log_level=1
client_maxconn=${(streams + sockets + connections) * 2}
[connmgr]
workers=${workers}
[proxy]
routesfile=routes
[handler]
push_in_spec=tcp://127.0.0.1:${pushPort}
push_in_sub_specs=tcp://127.0.0.1:${subPort}
push_in_http_addr=127.0.0.1
push_in_http_port=${controlPort}
command_spec=tcp://127.0.0.1:${commandPort}
`,
    );
    let output = "";
    runner = spawn(
      process.execPath,
      [join(ROOT, "runner/bin/pushpin.js"), "--config=pushpin.conf", "--merge-output"],
      { cwd: directory, stdio: ["ignore", "pipe", "pipe"] },
    );
    for (const stream of [runner.stdout, runner.stderr])
      stream.on("data", (data) => {
        output = (output + data).slice(-100_000);
      });
    const answers = () =>
      fetch(`http://127.0.0.1:${port}/hello`).then(
        (response) => response.status === 200,
        () => false,
      );
    await wait("an answer", 20, answers).catch((error) => {
      throw new Error(`${error.message}\n${output}`);
    });
    const processes = () => {
      const run = join(directory, "run");
      return readdirSync(run)
        .filter((one) => one.endsWith(".pid"))
        .map((one) => ({
          name: one.replace(/^pushpin-|\.pid$/g, ""),
          pid: Number(readFileSync(join(run, one), "utf8")),
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    };
    const before = processes();
    const startOf = rss(before);

    const holders = [];
    let address = 1;
    for (const [kind, count] of [
      ["stream", streams],
      ["socket", sockets],
    ])
      for (let left = count; left > 0; left -= CLIENTS_PER_PROCESS) {
        const child = startRole("holder");
        address += 1;
        child.send({
          port,
          kind,
          count: Math.min(left, CLIENTS_PER_PROCESS),
          address: `127.0.1.${address}`,
        });
        holders.push(child);
      }
    const sum = (name) => holders.reduce((all, one) => all + (one.last?.[name] ?? 0), 0);
    const openStartMs = performance.now();
    await wait("all clients", 600, () => sum("open") >= streams + sockets);
    const openSeconds = (performance.now() - openStartMs) / 1000;
    console.log(
      `${streams} streams and ${sockets} WebSockets open after ${openSeconds.toFixed(1)} s, ${workers} connmgr`,
    );

    let marks = 0;
    const publish = async () => {
      marks += 1;
      const mark = `mark-${marks}`;
      const startMs = performance.now();
      const item = {
        channel: "soak",
        formats: { "http-stream": { content: `${mark}\n` }, "ws-message": { content: mark } },
      };
      const response = await fetch(`http://127.0.0.1:${controlPort}/publish/`, {
        method: "POST",
        body: JSON.stringify({ items: [item] }),
      });
      if (response.status !== 200) throw new Error(`publish: ${response.status}`);
      const reached = () =>
        holders.reduce((all, one) => all + (new Map(one.last?.received).get(mark) ?? 0), 0);
      await wait("all to have an item", 60, () => reached() >= streams + sockets).catch(() => {});
      return { reached: reached(), ms: Math.round(performance.now() - startMs) };
    };
    const publishes = [await publish()];
    const held = rss(processes());

    const driver = startRole("load");
    const columns = before.map((one) => one.name);
    console.log(
      `\n| time (s) | requests | errors | idle clients dropped | ${columns.map((one) => `${one} (MiB)`).join(" | ")} |`,
    );
    console.log(`| ${["", "", "", "", ...columns].map(() => "---").join(" | ")} |`);
    const samples = [];
    const startMs = performance.now();
    driver.send({ port, connections, requests, seconds });
    for (;;) {
      await sleep(SAMPLE_MS);
      const s = (performance.now() - startMs) / 1000;
      const sizes = rss(processes());
      samples.push({ s, sizes });
      const { done = 0, errors = 0 } = driver.last ?? {};
      if (
        samples.length % Math.max(1, Math.round(seconds / SAMPLE_MS / 0.012)) === 0 ||
        done >= requests
      )
        console.log(
          `| ${Math.round(s)} | ${done} | ${errors} | ${sum("closed")} | ${columns.map((one) => mib(sizes[one])).join(" | ")} |`,
        );
      if (done >= requests || s > seconds * 2 + 60) break;
    }
    const loadSeconds = (performance.now() - startMs) / 1000;
    publishes.push(await publish());
    const after = processes();
    const isRestarted = before.some((one) => !after.some((other) => other.pid === one.pid));
    const warm = samples.filter((one) => one.s >= Math.min(60, loadSeconds / 3));
    const total = (sizes) => Object.values(sizes).reduce((all, one) => all + one, 0);
    const third = Math.max(1, Math.floor(warm.length / 3));
    const mean = (list) => list.reduce((all, one) => all + total(one.sizes), 0) / list.length;
    const growth = warm.length < 3 ? 0 : mean(warm.slice(-third)) / mean(warm.slice(0, third)) - 1;
    const { done, errors, dropped, firstError, p50, p99, max } = driver.last;
    const result = {
      name: "soak",
      streams,
      sockets,
      workers,
      openSeconds: Number(openSeconds.toFixed(1)),
      retriedOpens: sum("failed"),
      requests: done,
      connections,
      seconds: Math.round(loadSeconds),
      requestsPerSecond: Math.round(done / loadSeconds),
      latencyMs: { p50, p99, max },
      errors,
      firstError,
      connectionsDropped: dropped,
      idleDropped: sum("closed"),
      published: publishes,
      memoryMiB: { start: sized(startOf), held: sized(held), end: sized(samples.at(-1).sizes) },
      bytesPerIdleClient: Math.round((total(held) - total(startOf)) / (streams + sockets)),
      growth: Number(growth.toFixed(3)),
      isRestarted,
      node: process.version,
      cpu: `${cpus().length} x ${cpus()[0]?.model}`,
    };
    const isGood =
      done >= requests &&
      errors + dropped + result.idleDropped === 0 &&
      !isRestarted &&
      growth < GROWTH_MAX &&
      publishes.every((one) => one.reached === streams + sockets);
    console.log(`\n${isGood ? "passed" : "FAILED"}`);
    if (!isGood) console.log(output.split("\n").slice(-20).join("\n"));
    console.log(JSON.stringify(result));
    process.exitCode = isGood ? 0 : 1;
  } finally {
    await cleanUp();
  }
  process.exit();
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const mib = (bytes) => Math.round((bytes ?? 0) / 2 ** 20);
const sized = (sizes) =>
  Object.fromEntries(Object.entries(sizes).map(([name, bytes]) => [name, mib(bytes)]));

function rss(processes) {
  const sizes = {};
  for (const { name, pid } of processes) {
    try {
      const text = readFileSync(`/proc/${pid}/status`, "utf8");
      sizes[name] = Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1] ?? 0) * 1024;
    } catch {
      sizes[name] = 0;
    }
  }
  return sizes;
}

async function wait(what, seconds, condition) {
  const untilMs = performance.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > untilMs) throw new Error(`no ${what} within ${seconds} s`);
    await sleep(50);
  }
}

const role = process.env["SOAK_ROLE"];
if (role === "backend") await backend();
else if (role === "holder") await holder();
else if (role === "load") await load();
else await main();
