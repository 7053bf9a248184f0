// What compare.mjs and flat.mjs share: an installation on free ports with a backend, its clients, and the CPU time
// of all its processes.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts, systemPath, systemProgram } from "@pushpin/testkit";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const START_MAX_MS = 30_000;
const STOP_MAX_MS = 10_000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Keys only the original needs: its package keeps them in a file of its own. */
const THEIRS = (run, pub) => `
[proxy]
zurl_out_specs=ipc://${run}/p-zurl-in
zurl_out_stream_specs=ipc://${run}/p-zurl-in-stream
zurl_in_specs=ipc://${run}/p-zurl-out
updates_check=off

[handler]
push_in_sub_specs=tcp://127.0.0.1:${pub}
stats_spec=ipc://${run}/p-stats
`;

/** `who`: `ours`, or `pushpin`, the original of the system. */
export class Installed {
  #directory = mkdtempSync(join(tmpdir(), "pb-"));
  #backend;
  #server;
  #output = "";
  port = 0;
  controlPort = 0;

  /** `global`: more lines of the section of that name; `collects`: `memory` will be asked. */
  static async start(who, { routes = 1, global = "", collects = false } = {}) {
    const one = new Installed();
    try {
      await one.#start(who, routes, global, collects);
    } catch (error) {
      await one.stop();
      throw error;
    }
    return one;
  }

  async #start(who, routes, global, collects) {
    const directory = this.#directory;
    this.#backend = spawn(process.execPath, [join(ROOT, "bench/compare-backend.mjs")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const backendPort = await new Promise((resolve, reject) => {
      this.#backend.stdout.once("data", (data) => resolve(Number(String(data))));
      this.#backend.once("exit", () => reject(new Error("the backend ended")));
    });
    const [port, control, push, command, pub] = await freePorts(5);
    this.port = port;
    this.controlPort = control;
    mkdirSync(join(directory, "run"));
    mkdirSync(join(directory, "runner/certs"), { recursive: true });
    let lines = `* 127.0.0.1:${backendPort}\n`;
    for (let i = 1; i < routes; i += 1) lines += `host-${i}.example 127.0.0.1:${backendPort}\n`;
    writeFileSync(join(directory, "routes"), lines);
    const isOurs = who === "ours";
    const sections = `[global]
include={libdir}/internal.conf
rundir=${directory}/run
ipc_prefix=p-
${global}
[runner]
services=${isOurs ? "connmgr,httpclient,proxy,handler" : "condure,zurl,pushpin-proxy,pushpin-handler"}
http_port=127.0.0.1:${port}
logdir=${directory}
log_level=1
client_maxconn=50000

[proxy]
routesfile=routes
sig_key=changeme

[handler]
push_in_spec=tcp://127.0.0.1:${push}
push_in_http_addr=127.0.0.1
push_in_http_port=${control}
command_spec=tcp://127.0.0.1:${command}
message_rate=-1
message_hwm=-1
`;
    const config = join(directory, "pushpin.conf");
    writeFileSync(config, isOurs ? sections : joinSections(sections, THEIRS(`${directory}/run`, pub)));
    const command_ = isOurs ? [process.execPath, join(ROOT, "runner/bin/pushpin.js")] : [systemProgram("pushpin")];
    this.#server = spawn(command_[0], [...command_.slice(1), `--config=${config}`], {
      cwd: directory,
      env: {
        ...process.env,
        ...(collects ? { NODE_OPTIONS: `--import=${join(ROOT, "bench/collect.mjs")}` } : {}),
        ...(isOurs ? {} : { PATH: systemPath() }),
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let failure;
    this.#server.once("error", (error) => (failure = error));
    for (const stream of [this.#server.stdout, this.#server.stderr])
      stream.on("data", (data) => (this.#output += data));
    for (const endMs = performance.now() + START_MAX_MS; ; await sleep(100)) {
      if (failure !== undefined) throw failure;
      if (this.#server.exitCode !== null || performance.now() > endMs)
        throw new Error(`${who} did not start\n${this.#output}`);
      if (await this.#answers()) return;
    }
  }

  async #answers() {
    try {
      const get = (path, port) => fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(2000) });
      const [page, control] = await Promise.all([get("/", this.port), get("/", this.controlPort)]);
      return page.status === 200 && control.status === 200;
    } catch {
      return false;
    }
  }

  /** Seconds of CPU time all processes of the server have used so far. */
  cpuSeconds() {
    let ticks = 0;
    for (const fields of processTree(this.#server.pid)) ticks += Number(fields[11]) + Number(fields[12]);
    // USER_HZ, the same on all Linux.
    return ticks / 100;
  }

  /** Memory in use by each process, in bytes, by the name of its pid file; for `ours` with `collects`. */
  async memory() {
    const used = new Map();
    for (const file of readdirSync(join(this.#directory, "run")).filter((one) => one.endsWith(".pid"))) {
      const pid = Number(readFileSync(join(this.#directory, "run", file), "utf8"));
      const answer = join(this.#directory, `memory-${pid}`);
      process.kill(pid, "SIGPWR");
      while (!existsSync(answer)) await sleep(10);
      used.set(file.replace(/^pushpin-|\.pid$/g, ""), Number(readFileSync(answer, "utf8")));
      rmSync(answer);
    }
    return used;
  }

  async stop() {
    for (const child of [this.#server, this.#backend]) {
      if (child?.pid === undefined || child.exitCode !== null) continue;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MAX_MS);
      await ended;
      clearTimeout(timer);
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** `count` clients that hold a stream; `channel(i)` says on which channel. */
  async hold(count, channel = () => "all") {
    const held = new Held();
    const openOne = async (i) => {
      const socket = connect({ port: this.port, host: "127.0.0.1", localAddress: `127.0.1.${1 + (i % 250)}` });
      await held.add(socket, `GET /stream?c=${channel(i)} HTTP/1.1\r\nHost: bench\r\n\r\n`);
    };
    let next = 0;
    const worker = async () => {
      while (next < count) await openOne(next++);
    };
    await Promise.all(Array.from({ length: 32 }, worker));
    return held;
  }

  /** Publishes to a channel, one connection kept for all; resolves with the answer. */
  publisher() {
    const socket = connect({ port: this.controlPort, host: "127.0.0.1", noDelay: true });
    let answered = () => {};
    socket.on("data", () => answered());
    socket.on("error", () => {});
    return {
      close: () => socket.destroy(),
      isKept: true,
      publish: (channel, content) =>
        new Promise((resolve) => {
          answered = resolve;
          socket.write(publishRequest(channel, content, "keep-alive"));
        }),
    };
  }

  /** The same, with a connection for each, which is all the original offers. */
  publishOnce(channel, content) {
    return new Promise((resolve, reject) => {
      const socket = connect({ port: this.controlPort, host: "127.0.0.1", noDelay: true });
      socket.on("error", reject);
      socket.on("data", () => {});
      socket.on("close", resolve);
      socket.on("end", () => socket.destroy());
      socket.write(publishRequest(channel, content, "close"));
    });
  }

  /** So many requests over so many kept connections, one at a time on each; requests per second. */
  async requests(count, connections, headers = "") {
    const request = `GET /plain HTTP/1.1\r\nHost: bench\r\n${headers}\r\n`;
    let left = count;
    const started = performance.now();
    await Promise.all(
      Array.from(
        { length: connections },
        () =>
          new Promise((resolve, reject) => {
            const socket = connect({ port: this.port, host: "127.0.0.1", noDelay: true });
            const ask = () => {
              left -= 1;
              if (left < 0) {
                socket.destroy();
                resolve();
              } else socket.write(request);
            };
            socket.on("connect", ask);
            socket.on("data", (data) => data.includes("plain\n") && ask());
            socket.on("error", reject);
            socket.on("end", () => reject(new Error("the server ended a connection")));
          }),
      ),
    );
    return count / ((performance.now() - started) / 1000);
  }
}

function publishRequest(channel, content, connection) {
  const body = JSON.stringify({ items: [{ channel, formats: { "http-stream": { content } } }] });
  return (
    `POST /publish/ HTTP/1.1\r\nHost: bench\r\nConnection: ${connection}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  );
}

/** Clients with a held stream. Whatever they are sent ends in `~`: those are counted. */
class Held {
  #sockets = [];
  #wanted = 0;
  #arrived = () => {};
  received = 0;

  async add(socket, request) {
    this.#sockets.push(socket);
    socket.on("error", () => {});
    await new Promise((resolve, reject) => {
      let isOpen = false;
      socket.on("data", (data) => {
        for (let at = data.indexOf(0x7e); at >= 0; at = data.indexOf(0x7e, at + 1)) {
          if (isOpen) this.received += 1;
          else {
            isOpen = true;
            resolve();
          }
        }
        if (this.received >= this.#wanted) this.#arrived();
      });
      socket.on("close", () => reject(new Error("a held stream was refused")));
      socket.write(request);
    });
  }

  /** Resolves when so many messages have come in all; rejects where nothing comes for ten seconds. */
  async until(count) {
    while (this.received < count) {
      const before = this.received;
      await new Promise((resolve) => {
        this.#wanted = count;
        this.#arrived = resolve;
        const timer = setTimeout(resolve, 10_000);
        this.#arrived = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wanted = Infinity;
      if (this.received === before && before < count) throw new Error(`${count - before} messages are missing`);
    }
  }

  close() {
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** One INI file may not name a section twice. */
function joinSections(first, second) {
  const sections = new Map();
  let name = "";
  for (const line of `${first}${second}`.split("\n")) {
    if (line.startsWith("[")) name = line;
    else if (line !== "") sections.set(name, [...(sections.get(name) ?? []), line]);
  }
  return [...sections].map(([one, lines]) => `${one}\n${lines.join("\n")}\n`).join("\n");
}

/** Fields of `/proc/PID/stat` behind the name, of a process and all its descendants. */
function processTree(root) {
  const all = new Map();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const text = readFileSync(`/proc/${entry}/stat`, "latin1");
      all.set(Number(entry), text.slice(text.lastIndexOf(")") + 2).split(" "));
    } catch {
      // It has just ended.
    }
  }
  const found = [root];
  for (let i = 0; i < found.length; i += 1)
    for (const [pid, fields] of all) if (Number(fields[1]) === found[i]) found.push(pid);
  return found.flatMap((pid) => (all.has(pid) ? [all.get(pid)] : []));
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
