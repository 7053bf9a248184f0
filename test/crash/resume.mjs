// How long it takes until a killed handler is back with all clients: node test/crash/resume.mjs [clients]
// Run by hand; docs/crash-survival.md has the figures. `startToReadyMs` is counted from the start of the new process,
// `upToReadyMs` from the moment its sockets are open.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts } from "@pushpin/testkit";

const root = fileURLToPath(new URL("../..", import.meta.url));
const clients = Number(process.argv[2] ?? 18_000);
const [http, control, backend] = await freePorts(3);
const directory = mkdtempSync(join(tmpdir(), "pp-resume-"));
mkdirSync(join(directory, "run"));
writeFileSync(join(directory, "routes"), `* 127.0.0.1:${backend}\n`);
writeFileSync(
  join(directory, "pushpin.conf"),
  `[global]
include={libdir}/internal.conf
rundir=run
ipc_prefix=r-
[runner]
services=connmgr,httpclient,proxy,handler
http_port=127.0.0.1:${http}
logdir=log
log_level=2
[proxy]
routesfile=routes
[handler]
push_in_http_addr=127.0.0.1
push_in_http_port=${control}
update_on_first_subscription=false
`,
);
const origin = createServer((socket) => {
  socket.on("error", () => {});
  socket.on("data", (data) => {
    for (const _ of data.toString("latin1").matchAll(/\r\n\r\n/g))
      socket.write(
        "HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: all\r\nContent-Length: 7\r\n\r\n[open]\n",
      );
  });
}).listen(backend, "127.0.0.1");
const runner = spawn(
  process.execPath,
  [join(root, "runner/bin/pushpin.js"), "--config=pushpin.conf", "--merge-output"],
  { cwd: directory, stdio: ["ignore", "pipe", "inherit"] },
);
let output = "";
runner.stdout.on("data", (text) => {
  output += text;
});
const said = async (pattern, from = 0) => {
  for (const endMs = performance.now() + 30_000; ; ) {
    if (performance.now() > endMs) throw new Error(`waited in vain for ${pattern}`);
    const found = pattern.exec(output.slice(from));
    if (found !== null) return found;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
};
let exitCode = 0;
try {
  await said(/\.\d{3} started$/m);
  let held = 0;
  let delivered = 0;
  let dropped = 0;
  const open = () =>
    new Promise((resolve) => {
      const socket = connect(http, "127.0.0.1", () =>
        socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
      );
      socket.on("data", (data) => {
        if (data.includes("[open]")) {
          held += 1;
          resolve();
        }
        if (data.includes("after")) delivered += 1;
      });
      socket.on("error", () => {});
      socket.on("close", () => {
        dropped += 1;
        resolve();
      });
    });
  while (held < clients && dropped === 0)
    await Promise.all(Array.from({ length: Math.min(200, clients - held) }, open));
  if (held < clients) throw new Error(`only ${held} clients can be held: see ulimit -n`);
  console.log(`${held} streams held`);
  for (let round = 0; round < 3; round += 1) {
    const from = output.length;
    const pid = Number(readFileSync(join(directory, "run/pushpin-handler.pid"), "utf8"));
    const killedMs = performance.now();
    process.kill(pid, "SIGKILL");
    const [, holds, tookMs] = await said(/taken over holds=(\d+) .*tookMs=(\d+)/, from);
    const [, afterMs] = await said(/handler is back afterMs=(\d+)/, from);
    const backMs = performance.now();
    delivered = 0;
    await fetch(`http://127.0.0.1:${control}/publish/`, {
      method: "POST",
      body: JSON.stringify({
        items: [{ channel: "all", formats: { "http-stream": { content: "after\n" } } }],
      }),
    });
    while (delivered < clients && performance.now() - backMs < 30_000)
      await new Promise((resolve) => setTimeout(resolve, 5));
    console.log({
      round,
      taken: Number(holds),
      killedToReadyMs: Math.round(backMs - killedMs),
      startToReadyMs: Number(afterMs),
      upToReadyMs: Number(tookMs),
      sessionsPerSecond: Math.round((Number(holds) * 1000) / Number(tookMs)),
      delivered,
      dropped,
    });
    if (delivered < clients || dropped > 0) exitCode = 1;
  }
} finally {
  runner.kill("SIGKILL");
  for (const name of ["connmgr", "httpclient", "pushpin-proxy", "pushpin-handler"])
    try {
      process.kill(Number(readFileSync(join(directory, "run", `${name}.pid`), "utf8")), "SIGKILL");
    } catch {
      // gone already
    }
  origin.close();
  rmSync(directory, { recursive: true, force: true });
}
process.exit(exitCode);
