import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Subcommands that other packages carry out. */
const TOOLS: Readonly<Record<string, string>> = {
  check: "../../packages/proxy/bin/pushpin-proxy-tools.js",
  explain: "../../packages/proxy/bin/pushpin-proxy-tools.js",
  publish: "../../packages/publish/bin/pushpin-publish.js",
};

/** Runs `pushpin TOOL …`; answers its exit status, or undefined if the first word names no tool. */
export function runTool(argv: readonly string[]): number | undefined {
  const [name = "", ...rest] = argv;
  if (!Object.hasOwn(TOOLS, name)) return undefined;
  const script = fileURLToPath(new URL(TOOLS[name] as string, import.meta.url));
  const args = name === "publish" ? rest : [name, ...rest];
  return spawnSync(process.execPath, [script, ...args], { stdio: "inherit" }).status ?? 1;
}
