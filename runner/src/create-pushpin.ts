import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { scriptOf } from "./programs.ts";

/** Limit: tries to find ports that nobody took between our look and the start; then it fails. Unit: starts. */
const STARTS_MAX = 5;
/** Limit: output kept to say why a start failed; the oldest is dropped. Unit: characters. */
const OUTPUT_KEPT_MAX = 65_536;
const STOP_TIMEOUT_MS = 8000;

export interface PushpinOptions {
  /** Lines of a routes file. Default: `* test`, the built-in test handler. */
  readonly routes?: readonly string[];
  /** Port for clients, on the loopback address. Default: a free one. */
  readonly port?: number;
  /** Port for publishers, on the loopback address. Default: a free one. */
  readonly controlPort?: number;
  /** More keys of the configuration: `{ handler: { message_rate: 100 } }`. */
  readonly config?: Readonly<Record<string, Readonly<Record<string, string | number | boolean>>>>;
  /** Levels of the log as `--loglevel` has them: `3`, or `2,proxy:3`. Default: `2`. */
  readonly logLevel?: string;
  /** Gets every line of the log. */
  readonly onLog?: (line: string) => void;
}

/** What is published; see docs/publishing.md. */
export interface Item {
  readonly channel: string;
  readonly id?: string;
  readonly "prev-id"?: string;
  readonly formats: Readonly<Record<string, unknown>>;
  readonly [member: string]: unknown;
}

type State =
  | { readonly name: "stopped" }
  | { readonly name: "starting" }
  | {
      readonly name: "running";
      readonly child: ChildProcess;
      readonly directory: string;
      readonly port: number;
      readonly controlPort: number;
    };

/** An instance of Pushpin, in processes of its own and a directory of its own. */
export class Pushpin {
  readonly #options: PushpinOptions;
  #state: State = { name: "stopped" };

  constructor(options: PushpinOptions) {
    this.#options = options;
  }

  /** Where clients go: `http://127.0.0.1:PORT`. */
  get url(): string {
    return `http://127.0.0.1:${this.#running().port}`;
  }

  /** Where publishers go; what `GRIP_URL` is for libraries. */
  get controlUrl(): string {
    return `http://127.0.0.1:${this.#running().controlPort}`;
  }

  /** Resolves when all processes are ready; rejects with what was logged if that fails. */
  async start(): Promise<this> {
    if (this.#state.name !== "stopped") throw new Error("already started");
    this.#state = { name: "starting" };
    try {
      for (let attempt = 1; ; attempt += 1) {
        const tried = await this.#launch();
        if (tried.ok) {
          this.#state = { name: "running", ...tried };
          return this;
        }
        const isTaken = /in use/i.test(tried.output);
        // Limit: STARTS_MAX
        if (!isTaken || attempt === STARTS_MAX)
          throw new Error(`Pushpin did not start:\n${tried.output}`);
      }
    } catch (error) {
      this.#state = { name: "stopped" };
      throw error;
    }
  }

  /** Ends all processes and removes the directory. */
  async stop(): Promise<void> {
    const state = this.#state;
    if (state.name !== "running") return;
    this.#state = { name: "stopped" };
    await end(state.child);
    rmSync(state.directory, { recursive: true, force: true });
  }

  /** Publishes items; rejects if they are refused. */
  async publish(...items: readonly Item[]): Promise<void> {
    const response = await fetch(`${this.controlUrl}/publish/`, {
      method: "POST",
      body: JSON.stringify({ items }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`publishing failed: ${response.status} ${text.trim()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #running(): State & { name: "running" } {
    if (this.#state.name !== "running") throw new Error("not started");
    return this.#state;
  }

  async #launch(): Promise<
    | { ok: true; child: ChildProcess; directory: string; port: number; controlPort: number }
    | { ok: false; output: string }
  > {
    const [freePort = 0, freeControlPort = 0] = await freePorts(2);
    const { port = freePort, controlPort = freeControlPort } = this.#options;
    const directory = mkdtempSync(join(tmpdir(), "pushpin-"));
    writeGround(directory, port, controlPort, this.#options);
    const child = spawn(
      process.execPath,
      [scriptOf("runner", "pushpin"), "--config=pushpin.conf", "--merge-output"],
      { cwd: directory, stdio: ["ignore", "pipe", "pipe"] },
    );
    const output = await this.#untilStarted(child);
    if (output === undefined) {
      // Whoever forgets to stop us does not leave processes behind.
      const orphaned = () => child.kill("SIGTERM");
      process.once("exit", orphaned);
      child.once("exit", () => process.off("exit", orphaned));
      return { ok: true, child, directory, port, controlPort };
    }
    rmSync(directory, { recursive: true, force: true });
    return { ok: false, output };
  }

  /** @returns what was written if it ended instead. */
  #untilStarted(child: ChildProcess): Promise<string | undefined> {
    return new Promise((resolve) => {
      let output = "";
      let rest = "";
      let isSettled = false;
      const take = (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          this.#options.onLog?.(line);
          if (isSettled) continue;
          // Limit: OUTPUT_KEPT_MAX, the oldest goes.
          output = `${output}${line}\n`.slice(-OUTPUT_KEPT_MAX);
          // The runner's own line; those of its children name them.
          if (!/^\[INFO\] \S+ \S+ started$/.test(line)) continue;
          isSettled = true;
          resolve(undefined);
        }
      };
      for (const stream of [child.stdout, child.stderr])
        stream?.setEncoding("utf8").on("data", take);
      child.once("error", (error) => resolve(error.message));
      child.once("close", () => resolve(output));
    });
  }
}

/** An instance on free ports, for tests and development; `start()` starts it. */
export function createPushpin(options: PushpinOptions = {}): Pushpin {
  return new Pushpin(options);
}

function writeGround(
  directory: string,
  port: number,
  controlPort: number,
  options: PushpinOptions,
): void {
  const { routes = ["* test"], config = {}, logLevel = "2" } = options;
  const own: Required<PushpinOptions>["config"] = {
    global: { include: "{libdir}/internal.conf", rundir: "run", ipc_prefix: "p-" },
    runner: {
      services: "connmgr,httpclient,proxy,handler",
      http_port: `127.0.0.1:${port}`,
      logdir: "log",
      // The runner says at this level that it has started.
      log_level: `${logLevel},runner:2`,
    },
    proxy: { routesfile: "routes" },
    handler: {
      push_in_spec: "ipc://{rundir}/{ipc_prefix}publish-pull",
      push_in_sub_specs: "ipc://{rundir}/{ipc_prefix}publish-sub",
      push_in_http_addr: "127.0.0.1",
      push_in_http_port: controlPort,
      command_spec: "ipc://{rundir}/{ipc_prefix}command",
      stats_spec: "ipc://{rundir}/{ipc_prefix}stats",
    },
  };
  let text = "";
  for (const section of new Set([...Object.keys(own), ...Object.keys(config)])) {
    text += `[${section}]\n`;
    for (const [key, value] of Object.entries({ ...own[section], ...config[section] }))
      text += `${key}=${value}\n`;
  }
  mkdirSync(join(directory, "run"));
  writeFileSync(join(directory, "pushpin.conf"), text);
  writeFileSync(join(directory, "routes"), `${routes.join("\n")}\n`);
}

/** Different ports that are free now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  const ports = servers.map((one) => (one.address() as AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "close");
  child.kill("SIGTERM");
  const force = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await gone;
  clearTimeout(force);
}
