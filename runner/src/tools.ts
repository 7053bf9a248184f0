import { spawn } from "node:child_process";
import { findConfigFile } from "./plan.ts";
import { scriptOf } from "./programs.ts";

/** Subcommands that other packages carry out. */
const TOOLS: Readonly<Record<string, readonly [packageName: string, command: string]>> = {
  check: ["proxy", "pushpin-proxy-tools"],
  explain: ["proxy", "pushpin-proxy-tools"],
  publish: ["publish", "pushpin-publish"],
  stats: ["handler", "pushpin-handler-tools"],
  subs: ["handler", "pushpin-handler-tools"],
  command: ["handler", "pushpin-handler-tools"],
};

/** Tools that ask a running instance, and find it by its configuration. */
const ASKING = new Set(["stats", "subs", "command"]);

/** Runs `pushpin TOOL …`; answers its exit status, or undefined if the first word names no tool. */
export async function runTool(argv: readonly string[]): Promise<number | undefined> {
  const [name = "", ...rest] = argv;
  const tool = Object.hasOwn(TOOLS, name) ? TOOLS[name] : undefined;
  if (tool === undefined) return undefined;
  const script = scriptOf(...tool);
  const args = name === "publish" ? rest : [name, ...withConfig(name, rest)];
  const child = spawn(process.execPath, [script, ...args], { stdio: "inherit" });
  process.on("SIGINT", () => {}); // the terminal tells the tool too
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve) => {
    child.once("error", () => resolve(1));
    child.once("close", (code) => resolve(code ?? 1));
  });
}

function withConfig(name: string, args: readonly string[]): readonly string[] {
  const isGiven = args.some((one) => /^--(config|spec|help)\b/.test(one));
  if (!ASKING.has(name) || isGiven) return args;
  return [`--config=${findConfigFile(undefined)}`, ...args];
}
