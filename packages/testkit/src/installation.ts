import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { TestProcess } from "./child-process.ts";
import { freePorts } from "./free-port.ts";

/** Root of the repository. */
export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

export type Sections = Readonly<Record<string, Readonly<Record<string, string | number>>>>;

export interface InstallationOptions {
  /** Lines of the routes file. */
  readonly routes: readonly string[];
  /** Added to, or in the place of, what the test configuration has. */
  readonly config?: Sections;
  readonly env?: NodeJS.ProcessEnv;
  readonly arguments?: readonly string[];
}

export function renderConfig(...all: readonly Sections[]): string {
  const merged = new Map<string, Map<string, string>>();
  for (const sections of all)
    for (const [section, keys] of Object.entries(sections)) {
      const into = merged.get(section) ?? new Map<string, string>();
      merged.set(section, into);
      for (const [key, value] of Object.entries(keys)) into.set(key, String(value));
    }
  let text = "";
  for (const [section, keys] of merged) {
    text += `[${section}]\n`;
    for (const [key, value] of keys) text += `${key}=${value}\n`;
  }
  return text;
}

/** A directory of its own for one test, with short paths: names of ipc sockets are limited. */
export function makeTestDirectory(): string {
  return mkdtempSync(join(tmpdir(), "pp-"));
}

/** Ports and files of one installation, before anything is started. */
export interface Ground {
  readonly directory: string;
  readonly configFile: string;
  readonly port: number;
  readonly controlPort: number;
  readonly pushPort: number;
  readonly subPort: number;
  readonly commandPort: number;
}

/** A directory with configuration and routes on free ports. */
export async function prepareGround(options: InstallationOptions): Promise<Ground> {
  const directory = makeTestDirectory();
  const [port = 0, controlPort = 0, pushPort = 0, subPort = 0, commandPort = 0] =
    await freePorts(5);
  mkdirSync(join(directory, "run"));
  writeFileSync(join(directory, "routes"), `${options.routes.join("\n")}\n`);
  const config: Sections = {
    global: { include: "{libdir}/internal.conf", rundir: "run", ipc_prefix: "p-" },
    runner: {
      services: "connmgr,httpclient,proxy,handler",
      http_port: `127.0.0.1:${port}`,
      logdir: "log",
      log_level: 2,
    },
    proxy: { routesfile: "routes", sig_key: "changeme" },
    handler: {
      push_in_spec: `tcp://127.0.0.1:${pushPort}`,
      push_in_sub_specs: `tcp://127.0.0.1:${subPort}`,
      push_in_http_addr: "127.0.0.1",
      push_in_http_port: controlPort,
      command_spec: `tcp://127.0.0.1:${commandPort}`,
      stats_spec: "ipc://{rundir}/{ipc_prefix}stats",
    },
  };
  const configFile = join(directory, "pushpin.conf");
  writeFileSync(configFile, renderConfig(config, options.config ?? {}));
  return { directory, configFile, port, controlPort, pushPort, subPort, commandPort };
}

/** Everything started by the runner, on free ports, in a directory of its own. */
export class Installation {
  readonly directory: string;
  readonly port: number;
  readonly controlPort: number;
  readonly pushPort: number;
  readonly subPort: number;
  readonly commandPort: number;
  readonly runner: TestProcess;

  private constructor(ground: Ground, runner: TestProcess) {
    this.directory = ground.directory;
    this.port = ground.port;
    this.controlPort = ground.controlPort;
    this.pushPort = ground.pushPort;
    this.subPort = ground.subPort;
    this.commandPort = ground.commandPort;
    this.runner = runner;
  }

  /** Resolves when all processes are ready. */
  static async start(options: InstallationOptions): Promise<Installation> {
    const installation = await Installation.launch(options);
    try {
      // Its own line: those of its children name them.
      await installation.runner.said(/\.\d{3} started$/m);
    } catch (error) {
      await installation.stop();
      throw error;
    }
    return installation;
  }

  /** Starts the runner, and does not wait. */
  static async launch(options: InstallationOptions): Promise<Installation> {
    const ground = await prepareGround(options);
    const runner = new TestProcess(
      "pushpin",
      [
        process.execPath,
        join(ROOT, "runner/bin/pushpin.js"),
        "--config=pushpin.conf",
        "--merge-output",
        ...(options.arguments ?? []),
      ],
      { cwd: ground.directory, ...(options.env === undefined ? {} : { env: options.env }) },
    );
    return new Installation(ground, runner);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get controlUrl(): string {
    return `http://127.0.0.1:${this.controlPort}`;
  }

  /** Publishes items over the control port. */
  async publish(...items: readonly object[]): Promise<void> {
    await publishTo(this.controlUrl, items);
  }

  async stop(): Promise<void> {
    await this.runner.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Publishes items over a control port; rejects if they are refused. */
export async function publishTo(controlUrl: string, items: readonly object[]): Promise<void> {
  const response = await fetch(`${controlUrl}/publish/`, {
    method: "POST",
    body: JSON.stringify({ items }),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`publish: ${response.status} ${text}`);
}
