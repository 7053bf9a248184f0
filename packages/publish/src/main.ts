import { createReadStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { type PublishArguments, parsePublishArguments } from "./arguments.ts";
import { type Content, ContentError, makeItem } from "./item.ts";
import { openTransport, PublishError, type Transport } from "./transport.ts";

const PROGRESS_INTERVAL_MS = 200;

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
    transport = openTransport(given.spec, given.authorization);
    if (given.byLine) await publishLines(given, transport);
    else {
      const content = given.action === "send" ? readContent(given.content ?? "") : undefined;
      await transport.send(makeItem(given, content));
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

/** Text as given, `@FILE`, or `-` for standard input. */
function readContent(text: string): Content {
  if (text !== "-" && !text.startsWith("@"))
    return { bytes: Buffer.from(text), isVerbatim: false };
  const path = text === "-" ? "-" : text.slice(1);
  return { bytes: readAll(path), isVerbatim: true };
}

function readAll(path: string): Buffer {
  try {
    return readFileSync(path === "-" ? 0 : path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): PublishError {
  const { code, message } = error as { code?: string; message: string };
  const text = code === "ENOENT" ? "No such file or directory (os error 2)" : message;
  return new PublishError(`can't read file ${path}: ${text}`);
}

/** One message for each line, in order; a terminal is shown how far we are. */
async function publishLines(given: PublishArguments, transport: Transport): Promise<void> {
  const text = given.content ?? "-";
  if (text !== "-" && !text.startsWith("@")) {
    await publishEach(given, transport, text.split("\n"));
    return;
  }
  const input: Readable = text === "-" ? process.stdin : createReadStream(text.slice(1));
  let failure: unknown;
  input.on("error", (error) => {
    failure = error;
  });
  await publishEach(given, transport, createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }));
  if (failure !== undefined) throw unreadable(text.slice(1) || "-", failure);
}

async function publishEach(
  given: PublishArguments,
  transport: Transport,
  lines: Iterable<string> | AsyncIterable<string>,
): Promise<void> {
  const isTerminal = process.stderr.isTTY;
  let count = 0;
  let shownMs = 0;
  for await (const line of lines) {
    await transport.send(makeItem(given, { bytes: Buffer.from(line), isVerbatim: false }));
    count += 1;
    const nowMs = performance.now();
    if (!isTerminal || nowMs - shownMs < PROGRESS_INTERVAL_MS) continue;
    shownMs = nowMs;
    process.stderr.write(`\r${count} published`);
  }
  if (isTerminal) process.stderr.write("\r\u001b[K");
  process.stdout.write(`Published ${count} messages\n`);
}
