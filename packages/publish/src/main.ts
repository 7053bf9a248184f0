import { createReadStream, readFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { type PublishArguments, parsePublishArguments } from "./arguments.ts";
import { type Content, ContentError, makeItem } from "./item.ts";
import { splitLines } from "./line-splitter.ts";
import { openTransport } from "./open-transport.ts";
import { PublishError, type Transport } from "./transport.ts";

const PROGRESS_INTERVAL_MS = 200;
/** What the system says of a file, in the words an operator of the original knows. */
const FILE_REASONS: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "No such file or directory (os error 2)"],
  ["EACCES", "Permission denied (os error 13)"],
  ["EISDIR", "Is a directory (os error 21)"],
]);

const { version } = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8"),
) as { version: string };
const parsed = parsePublishArguments(process.argv.slice(2), version, process.env.GRIP_URL);
if (parsed.kind === "exit") {
  (parsed.code === 0 ? process.stdout : process.stderr).write(`${parsed.text}\n`);
  process.exitCode = parsed.code;
} else process.exitCode = await publish(parsed.arguments);

async function publish(given: PublishArguments): Promise<number> {
  let transport: Transport | undefined;
  try {
    const item = given.byLine ? undefined : makeItem(given, readContent(given));
    transport = await openTransport(given);
    if (item === undefined) await publishLines(given, transport);
    else {
      await transport.send(item);
      process.stdout.write("Published\n");
    }
    return 0;
  } catch (error) {
    if (!(error instanceof PublishError) && !(error instanceof ContentError)) throw error;
    process.stderr.write(`Error: ${error.message}\n`);
    return 1;
  } finally {
    await transport?.close();
  }
}

/** Text as given, `@FILE`, or `@-` for standard input. */
function readContent({ action, content = "" }: PublishArguments): Content | undefined {
  if (action !== "send") return undefined;
  if (!content.startsWith("@")) return { bytes: Buffer.from(content), isVerbatim: false };
  const path = content.slice(1);
  try {
    return { bytes: readFileSync(path === "-" ? 0 : path), isVerbatim: true };
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): PublishError {
  const { code = "", message } = error as { code?: string; message: string };
  return new PublishError(`can't read file ${path}: ${FILE_REASONS.get(code) ?? message}`);
}

/** One message for each line, in order; a terminal is shown how far we are. */
async function publishLines(given: PublishArguments, transport: Transport): Promise<void> {
  const isTerminal = process.stderr.isTTY;
  const clear = () => isTerminal && process.stderr.write("\r\u001b[K");
  let count = 0;
  let shownMs = 0;
  try {
    for await (const bytes of splitLines(readPieces(given.content ?? "@-"))) {
      await transport.send(makeItem(given, { bytes, isVerbatim: false }));
      count += 1;
      const nowMs = performance.now();
      if (!isTerminal || nowMs - shownMs < PROGRESS_INTERVAL_MS) continue;
      shownMs = nowMs;
      process.stderr.write(`\r${count} published`);
    }
  } catch (error) {
    clear();
    if (count === 0 || !(error instanceof Error)) throw error;
    // Where to go on from, for whoever has to send the rest.
    throw new PublishError(`line ${count + 1}: ${error.message}`, { cause: error });
  }
  clear();
  process.stdout.write(`Published ${count} messages\n`);
}

async function* readPieces(content: string): AsyncGenerator<Buffer> {
  if (!content.startsWith("@")) {
    yield Buffer.from(content);
    return;
  }
  const path = content.slice(1);
  const input: Readable = path === "-" ? process.stdin : createReadStream(path);
  try {
    yield* input as AsyncIterable<Buffer>;
  } catch (error) {
    throw unreadable(path, error);
  }
}
