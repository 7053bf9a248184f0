import { type Config, ConfigError, handlerSettings, loadConfig } from "@pushpin/config";
import { fromJson, type JsonValue, toJsonValue } from "@pushpin/grip";
import { silentLog } from "@pushpin/log";
import { ZmqSocket } from "@pushpin/zmq";
import { RpcClient } from "@pushpin/zrpc/sockets";
import yargs from "yargs";
import { readPacket, type ShownPacket } from "./tools/shown-packet.ts";
import { StatsView } from "./tools/stats-view.ts";
import { renderChange, type SubscriptionChange, SubscriptionList } from "./tools/subscription-list.ts";

// `pushpin stats`, `pushpin subs` and `pushpin command`: a running handler from outside.

const SCREEN_INTERVAL_MS = 1000;
const DEFAULT_SCREEN = { columns: 80, rows: 24 };
const ENTER_SCREEN = "\x1b[?1049h\x1b[?25l";
const LEAVE_SCREEN = "\x1b[?25h\x1b[?1049l";
const HOME_AND_CLEAR = "\x1b[H\x1b[J";

/** Wrong use or nothing to talk to: a line for the user. */
class ToolError extends Error {}

const TOOLS: Readonly<Record<string, (argv: readonly string[]) => Promise<number>>> = {
  stats: showStats,
  subs: showSubscriptions,
  command: sendCommand,
};

const [name = "", ...argv] = process.argv.slice(2);
process.stdout.on("error", () => process.exit(0)); // whoever read our output is gone
const tool = Object.hasOwn(TOOLS, name) ? TOOLS[name] : undefined;
try {
  if (tool === undefined) throw new ToolError(`no such tool: ${name}`);
  process.exitCode = await tool(argv);
} catch (error) {
  if (!(error instanceof ToolError) && !(error instanceof ConfigError)) throw error;
  process.stderr.write(`Error: ${error.message}\n`);
  process.exitCode = 1;
}

function options(args: readonly string[], usage: string) {
  return yargs([...args])
    .scriptName("pushpin")
    .usage(usage)
    .version(false)
    .option("config", {
      type: "string",
      requiresArg: true,
      describe: "configuration file, which says where the handler is",
    })
    .option("id", { type: "number", requiresArg: true, describe: "instance number" })
    .option("spec", {
      type: "string",
      requiresArg: true,
      describe: "address of the socket, in the place of the configured one",
    })
    .strictOptions()
    .fail((message: string | null, error: Error | undefined) => {
      throw new ToolError(message ?? error?.message ?? "bad arguments");
    });
}

/** The address to connect to: given, or of the configuration. */
function specOf(
  given: { readonly spec?: string | undefined; readonly config?: string | undefined; readonly id?: number | undefined },
  key: "stats_spec" | "command_spec",
): string {
  const spec = given.spec ?? readConfig(given.config, given.id).read(handlerSettings)[key][0];
  if (spec === undefined) throw new ToolError(`${key} is not set`);
  return spec.replace(/^tcp:\/\/(\*|0\.0\.0\.0):/, "tcp://127.0.0.1:");
}

function readConfig(file: string | undefined, id: number | undefined): Config {
  if (file === undefined) throw new ToolError("must set --config or --spec");
  return loadConfig({
    file,
    ...(id === undefined ? {} : { ipcPrefix: `p${id}-` }),
    ...(id === undefined || id === 0 ? {} : { portOffset: id * 10 }),
    environment: process.env,
  });
}

/** Hands over every packet of these kinds until the user or `limit` packets end it. */
async function followStats(
  spec: string,
  topics: readonly string[],
  limit: number,
  take: (packet: ShownPacket) => void,
): Promise<void> {
  let left = limit;
  let finish = () => {};
  const ended = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const socket = await ZmqSocket.open({
    type: "sub",
    specs: [spec],
    mode: "connect",
    subscribe: topics.length === 0 ? [""] : topics.map((one) => `${one} `),
    log: silentLog,
    onMessage: ([frame]) => {
      if (frame === undefined || left <= 0) return;
      const packet = readPacket(frame);
      if (!packet.ok) return;
      left -= 1;
      take(packet.value);
      if (left <= 0) finish();
    },
  }).catch((error: unknown) => {
    throw new ToolError(`${spec}: ${(error as Error).message}`);
  });
  process.once("SIGINT", finish);
  process.once("SIGTERM", finish);
  await ended;
  await socket.close();
}

function limitOf(count: number | undefined): number {
  if (count === undefined) return Infinity;
  if (!Number.isInteger(count) || count < 1) throw new ToolError("count must be 1 or more");
  return count;
}

async function showStats(args: readonly string[]): Promise<number> {
  const parsed = await options(
    args,
    "$0 stats [options] [TYPE...]\n\nShows the statistics of a running handler: a table on a terminal, else a line for each packet.\nTypes: activity, message, conn, sub, report, counts.",
  )
    .option("lines", { type: "boolean", default: false, describe: "lines on a terminal too" })
    .option("count", { type: "number", requiresArg: true, describe: "end after so many packets" })
    .parseAsync();
  const topics = parsed._.map(String);
  const spec = specOf(parsed, "stats_spec");
  const limit = limitOf(parsed.count);
  if (parsed.lines || !process.stdout.isTTY) {
    await followStats(spec, topics, limit, ({ topic, fields }) => {
      process.stdout.write(`${topic} ${JSON.stringify(fields)}\n`);
    });
    return 0;
  }
  const view = new StatsView();
  const draw = () => {
    const nowMs = Date.now();
    view.expire(nowMs);
    const { columns, rows } = { ...DEFAULT_SCREEN, ...sizeOf(process.stdout) };
    process.stdout.write(`${HOME_AND_CLEAR}${view.render(nowMs, columns, rows - 1).join("\n")}\n`);
  };
  process.stdout.write(ENTER_SCREEN);
  const timer = setInterval(draw, SCREEN_INTERVAL_MS);
  try {
    draw();
    await followStats(spec, topics, limit, (packet) => view.receive(packet, Date.now()));
  } finally {
    clearInterval(timer);
    process.stdout.write(LEAVE_SCREEN);
  }
  return 0;
}

function sizeOf({ columns, rows }: NodeJS.WriteStream): { columns?: number; rows?: number } {
  return columns > 0 && rows > 0 ? { columns, rows } : {};
}

async function showSubscriptions(args: readonly string[]): Promise<number> {
  const parsed = await options(
    args,
    "$0 subs [options]\n\nFollows the subscriptions of a running handler: SUB and UNSUB with mode, channel and number of subscribers.\nThose there before are heard of at their next refresh, within a minute.",
  )
    .option("count", { type: "number", requiresArg: true, describe: "end after so many packets" })
    .parseAsync();
  const list = new SubscriptionList();
  const print = (changes: readonly SubscriptionChange[]) => {
    for (const one of changes) process.stdout.write(`${renderChange(one)}\n`);
  };
  const timer = setInterval(() => print(list.expire(Date.now())), SCREEN_INTERVAL_MS);
  try {
    await followStats(specOf(parsed, "stats_spec"), ["sub"], limitOf(parsed.count), (packet) =>
      print(list.receive(packet, Date.now())),
    );
  } finally {
    clearInterval(timer);
  }
  return 0;
}

async function sendCommand(args: readonly string[]): Promise<number> {
  const parsed = await options(
    args,
    "$0 command [options] METHOD [JSON]\n\nSends a command to a running handler and prints the answer as JSON.\nMethods: get-zmq-uris, publish, conncheck, refresh, recover.",
  )
    .option("timeout", {
      type: "number",
      requiresArg: true,
      default: 5,
      describe: "seconds to wait for the answer",
    })
    .parseAsync();
  // As the original's script has it, the address may come first.
  const words = parsed._.map(String);
  const first = words[0] ?? "";
  const given = /^(tcp|ipc):\/\//.test(first) ? { spec: words.shift() } : parsed;
  const [method, text = "{}", ...more] = words;
  if (method === undefined) throw new ToolError("must specify a method");
  if (more.length > 0) throw new ToolError(`one argument too many: ${more[0]}`);
  if (!(parsed.timeout > 0)) throw new ToolError("timeout must be more than 0");
  const client = await RpcClient.open({
    addr: { specs: [specOf(given, "command_spec")], mode: "connect" },
    timeoutMs: parsed.timeout * 1000,
    log: silentLog,
  });
  try {
    const result = await client.call(method, fromJson(parseObject(text)));
    if (result.success) {
      process.stdout.write(`${JSON.stringify(toJsonValue(result.value), null, 2)}\n`);
      return 0;
    }
    const details = result.value === undefined ? "" : `: ${JSON.stringify(toJsonValue(result.value))}`;
    process.stderr.write(`Error: ${result.condition}${details}\n`);
    return 1;
  } finally {
    await client.close();
  }
}

function parseObject(text: string): JsonValue {
  try {
    const value = JSON.parse(text) as JsonValue;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // said below
  }
  throw new ToolError("arguments must be a JSON object");
}
