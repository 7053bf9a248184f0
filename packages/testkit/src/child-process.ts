import { type ChildProcess, spawn } from "node:child_process";
import { until } from "./until.ts";

/** A process a test has started, with everything it wrote. */
export class TestProcess {
  readonly name: string;
  readonly child: ChildProcess;
  output = "";
  exit: { code: number | null; signal: NodeJS.Signals | null } | undefined;

  constructor(
    name: string,
    command: readonly string[],
    options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
  ) {
    this.name = name;
    const [file = "", ...args] = command;
    this.child = spawn(file, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    const take = (data: Buffer) => {
      this.output += data.toString();
    };
    this.child.stdout?.on("data", take);
    this.child.stderr?.on("data", take);
    this.child.on("error", (error) => {
      this.output += error.message;
      this.exit ??= { code: null, signal: null };
    });
    this.child.on("exit", (code, signal) => {
      this.exit = { code, signal };
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Waits until the process has written something that matches. */
  async said(pattern: RegExp, timeoutMs = 20_000): Promise<void> {
    try {
      await until(
        `${this.name} to say ${pattern}`,
        () => {
          if (pattern.test(this.output)) return true;
          if (this.exit !== undefined) throw new Error(`${this.name} ended early`);
          return undefined;
        },
        timeoutMs,
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.output}`, { cause: error });
    }
  }

  async ended(timeoutMs = 10_000): Promise<{ code: number | null; signal: string | null }> {
    return until(`the end of ${this.name}`, () => this.exit, timeoutMs);
  }

  /** Ends it with SIGTERM, or by force if it does not go in time. */
  async stop(timeoutMs = 8000): Promise<void> {
    if (this.exit !== undefined) return;
    this.child.kill("SIGTERM");
    try {
      await this.ended(timeoutMs);
    } catch {
      this.child.kill("SIGKILL");
      await this.ended();
    }
  }
}
