import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Subcommands that other packages carry out. */
const TOOLS: Readonly<Record<string, string>> = {
  check: "../../packages/proxy/bin/pushpin-proxy-tools.js",
  explain: "../../packages/proxy/bin/pushpin-proxy-tools.js",
  publish: "../../packages/publish/bin/pushpin-publish.js",
  stats: "../../packages/handler/bin/pushpin-handler-tools.js",
  subs: "../../packages/handler/bin/pushpin-handler-tools.js",
  command: "../../packages/handler/bin/pushpin-handler-tools.js",
};

/** Runs `pushpin TOOL …`; answers its exit status, or undefined if the first word names no tool. */
export async function runTool(argv: readonly string[]): Promise<number | undefined> {
  const [name = "", ...rest] = argv;
  if (!Object.hasOwn(TOOLS, name)) return undefined;
  const script = fileURLToPath(new URL(TOOLS[name] as string, import.meta.url));
  const args = name === "publish" ? rest : [name, ...rest];
  const child = spawn(process.execPath, [script, ...args], { stdio: "inherit" });
  process.on("SIGINT", () => {}); // the terminal tells the tool too
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve) => {
    child.once("error", () => resolve(1));
    child.once("close", (code) => resolve(code ?? 1));
  });
}
