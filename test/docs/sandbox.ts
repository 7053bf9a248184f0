import { spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { freePorts, ROOT, TestProcess } from "@pushpin/testkit";

export interface Block {
  /** What stands behind the fence: `sh`, `json instruct`, … */
  readonly kind: string;
  readonly text: string;
}

/** Code blocks of a page, in order. */
export function blocksOf(page: string): Block[] {
  const text = readFileSync(join(ROOT, page), "utf8");
  return [...text.matchAll(/^```([^\n]*)\n([^]*?)^```$/gm)].map(([, kind = "", code = ""]) => ({
    kind,
    text: code,
  }));
}

/** Ports that pages name; a sandbox has others in their places. */
const PORTS = [
  7999, 5560, 5561, 5562, 5563, 8000, 8001, 8080, 8081, 5570, 5571, 5572, 5573, 5580, 5581,
].map(String);

/** A directory with the shipped configuration and the programs in `PATH`, on ports of its own. */
export class Sandbox {
  readonly directory: string;
  readonly #ports: ReadonlyMap<string, number>;
  #runner: TestProcess | undefined;

  private constructor(directory: string, ports: ReadonlyMap<string, number>) {
    this.directory = directory;
    this.#ports = ports;
  }

  static async make(): Promise<Sandbox> {
    const free = await freePorts(PORTS.length);
    const ports = new Map(PORTS.map((port, i) => [port, free[i] ?? 0]));
    const sandbox = new Sandbox(mkdtempSync(join(tmpdir(), "pp-")), ports);
    const { directory } = sandbox;
    cpSync(join(ROOT, "config"), join(directory, "config"), { recursive: true });
    for (const name of ["node_modules", "package.json", "index.js"])
      symlinkSync(join(ROOT, name), join(directory, name));
    const config = join(directory, "config/pushpin.conf");
    writeFileSync(config, sandbox.moved(readFileSync(config, "utf8")));
    writeFileSync(join(directory, "config/routes"), "* test\n");
    mkdirSync(join(directory, "bin"));
    const { bin } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      bin: Record<string, string>;
    };
    for (const [name, script] of Object.entries(bin)) {
      const path = join(directory, "bin", name);
      writeFileSync(path, `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, script)}" "$@"\n`);
      chmodSync(path, 0o755);
    }
    return sandbox;
  }

  /** Starts Pushpin with the shipped configuration. */
  async start(): Promise<void> {
    this.#runner = new TestProcess(
      "pushpin",
      [join(this.directory, "bin/pushpin"), "--config=config/pushpin.conf", "--merge-output"],
      { cwd: this.directory },
    );
    await this.#runner.said(/\.\d{3} started$/m);
  }

  /** A page's text with our ports in the places of its own. */
  moved(text: string): string {
    const pattern = new RegExp(`\\b(?:${PORTS.join("|")})\\b`, "g");
    return text.replace(pattern, (port) => String(this.#ports.get(port)));
  }

  /** Everything that a block, pasted into a shell, writes. */
  run(block: string): Promise<string> {
    // Job control, as a terminal has it: pages end their background jobs by `kill %1`.
    const shell = spawn(
      "bash",
      ["-m", "-c", this.moved(block).replaceAll("npx pushpin", "pushpin")],
      {
        cwd: this.directory,
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          ...process.env,
          PATH: `${join(this.directory, "bin")}${delimiter}${process.env["PATH"] ?? ""}`,
          GRIP_URL: this.moved("http://localhost:5561"),
        },
      },
    );
    let out = "";
    for (const stream of [shell.stdout, shell.stderr])
      stream.on("data", (data: Buffer) => {
        out += data.toString();
      });
    return new Promise((resolve) => shell.on("close", () => resolve(out)));
  }

  async stop(): Promise<void> {
    await this.#runner?.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
