// `node bench/start.mjs [RUNS [DIRECTORY…]]`: how long `pushpin` takes until all its processes are ready, and
// to say what is wrong with a configuration. Several directories are measured in turn, run by run, so that
// a machine that changes its speed changes it for all. Put `taskset -c 0,1` before it for two cores.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts } from "@pushpin/testkit";

const TICKS_PER_SECOND = 100;
const GIVE_UP_MS = 20_000;
const [runsGiven = "15", ...given] = process.argv.slice(2);
const roots = given.length > 0 ? given.map((one) => resolve(one)) : [fileURLToPath(new URL("..", import.meta.url))];

async function prepare(extra) {
  const directory = mkdtempSync(join(tmpdir(), "pp-"));
  const [http, control] = await freePorts(2);
  mkdirSync(join(directory, "run"));
  writeFileSync(join(directory, "routes"), "* test\n");
  writeFileSync(
    join(directory, "pushpin.conf"),
    `[global]
include={libdir}/internal.conf
rundir=run
ipc_prefix=p-
[runner]
services=connmgr,httpclient,proxy,handler
http_port=127.0.0.1:${http}
logdir=log
[proxy]
routesfile=routes
[handler]
push_in_spec=ipc://{rundir}/{ipc_prefix}pull
push_in_sub_specs=ipc://{rundir}/{ipc_prefix}sub
push_in_http_addr=127.0.0.1
push_in_http_port=${control}
command_spec=ipc://{rundir}/{ipc_prefix}command
stats_spec=ipc://{rundir}/{ipc_prefix}stats
${extra}`,
  );
  return directory;
}

/** CPU time of a process and its threads so far, in ms. */
function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /, "").split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

function launch(root, directory) {
  const startedMs = performance.now();
  const child = spawn(
    process.execPath,
    [join(root, "runner/bin/pushpin.js"), "--config=pushpin.conf", "--merge-output"],
    { cwd: directory, stdio: ["ignore", "pipe", "inherit"] },
  );
  const giveUp = setTimeout(() => child.kill("SIGTERM"), GIVE_UP_MS);
  const ended = new Promise((resolve) => child.once("close", resolve));
  void ended.then(() => clearTimeout(giveUp));
  return { child, ended, startedMs };
}

async function untilReady(root) {
  const directory = await prepare("");
  const { child, ended, startedMs } = launch(root, directory);
  let output = "";
  const ready = new Promise((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
      if (/^\[INFO\] \S+ \S+ started$/m.test(output)) resolve(performance.now() - startedMs);
    });
  });
  const wallMs = await Promise.race([
    ready,
    ended.then(() => Promise.reject(new Error(`not started: ${output}`))),
  ]);
  const pids = readdirSync(join(directory, "run"))
    .filter((one) => one.endsWith(".pid"))
    .map((one) => Number(readFileSync(join(directory, "run", one), "utf8")));
  const cpu = pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
  child.kill("SIGTERM");
  await ended;
  rmSync(directory, { recursive: true, force: true });
  return { wallMs, cpuMs: cpu };
}

async function untilRefused(root) {
  const directory = await prepare("message_hwm=many\n");
  const { child, ended, startedMs } = launch(root, directory);
  child.stdout.resume();
  const code = await ended;
  const wallMs = performance.now() - startedMs;
  if (code !== 1) throw new Error(`a bad configuration was taken (exit code ${code})`);
  rmSync(directory, { recursive: true, force: true });
  return { wallMs };
}

function show(name, values) {
  const sorted = values.toSorted((a, b) => a - b);
  const figure = (at) => `${Math.round(sorted[Math.floor(at * (sorted.length - 1))])}`.padStart(6);
  console.log(`${name.padEnd(44)}${figure(0.5)}${figure(0)}${figure(1)}`);
}

console.log(`node ${process.version}`);
console.log(`${"ms".padEnd(44)}median least  most`);
const results = roots.map(() => ({ ready: [], cpu: [], refused: [] }));
for (let run = 0; run < Number(runsGiven); run += 1)
  for (const [i, root] of roots.entries()) {
    const { wallMs, cpuMs: cpu } = await untilReady(root);
    results[i].ready.push(wallMs);
    results[i].cpu.push(cpu);
    results[i].refused.push((await untilRefused(root)).wallMs);
  }
for (const [i, root] of roots.entries()) {
  if (roots.length > 1) console.log(root);
  show("all processes ready", results[i].ready);
  show("CPU time of the five until then", results[i].cpu);
  show("a bad configuration is reported", results[i].refused);
}
