import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@pushpin/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BODIES, chunked, FRAMES, HEADS, SMUGGLED } from "../connmgr/hostile-input.ts";
import type { RawClient } from "../connmgr/fixture.ts";
import { Condure } from "./condure.ts";

/** Without a byte for so long, nothing more is expected. */
const QUIET_MS = 150;

interface Row {
  readonly name: string;
  readonly ours: string;
  readonly theirs: string;
  readonly isPassed: boolean;
}

let condure: Condure;
beforeAll(async () => {
  condure = await Condure.start();
});
afterAll(() => condure.stop());

async function settled(client: RawClient): Promise<void> {
  let length = -1;
  while (client.isOpen && (client.text.length !== length || client.socket.writableLength > 0)) {
    length = client.text.length;
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  }
}

/** What a hostile request led to. */
async function attack(name: string, bytes: string, ours: string): Promise<Row> {
  const before = condure.seen.length;
  const client = await condure.client();
  client.send(bytes + SMUGGLED);
  await settled(client);
  client.socket.destroy();
  const seen = condure.seen.slice(before);
  const isSmuggled = seen.some((one) => one.uri.includes("smuggled"));
  const first = seen.find((one) => !one.uri.includes("smuggled"));
  let theirs = "";
  if (isSmuggled)
    theirs =
      first === undefined
        ? "skipped; what stands behind it is served"
        : "passed on, and what stands behind it";
  else if (first === undefined) theirs = client.isOpen ? "waits" : "closed";
  else if (first.end === "complete")
    theirs = `passed on as \`${first.uri}\`${first.body === "" ? "" : ` with a body of ${first.body.length}`}`;
  else theirs = client.isOpen ? "head passed on, waits for more" : "head passed on, then closed";
  return { name, ours, theirs, isPassed: isSmuggled || first?.end === "complete" };
}

async function frames(name: string, bytes: Buffer, ours: string): Promise<Row> {
  const before = condure.seen.length;
  const client = await condure.client();
  client.upgrade();
  await client.until("\r\n\r\n");
  client.bytes(bytes);
  await settled(client);
  client.socket.destroy();
  const seen = condure.seen[before];
  const isPassed = client.isOpen && !name.includes("without end");
  let theirs = "closed without a close frame";
  if (seen?.end === "close") theirs = "close passed on";
  else if (isPassed) theirs = seen?.body === "" ? "taken" : "passed on";
  else if (client.isOpen) theirs = "passed on, as many as come";
  return { name, ours, theirs, isPassed: isPassed || client.isOpen };
}

function table(rows: readonly Row[]): string {
  const passed = rows.filter((one) => one.isPassed);
  const lines = passed.map((one) => `| ${one.name} | ${one.ours} | ${one.theirs} |`);
  return `${rows.length} inputs, of which the original takes ${passed.length}:

| input | ours | original |
| --- | --- | --- |
${lines.join("\n")}
`;
}

test("given hostile input, when the original gets it, then what it does is written down", async () => {
  const heads: Row[] = [];
  for (const [name, bytes, status] of HEADS) heads.push(await attack(name, bytes, `${status}`));
  const bodies: Row[] = [];
  for (const [name, body] of BODIES) bodies.push(await attack(name, chunked(body), "400"));
  const sockets: Row[] = [];
  for (const [name, bytes, code] of FRAMES)
    sockets.push(await frames(name, bytes, `closed with ${code}`));
  expect(condure.seen.length).toBeGreaterThan(0);
  writeFileSync(
    join(ROOT, "docs/security-condure.md"),
    `# Hostile input: ours and the original

Every input of \`test/connmgr/hostile-input.ts\`, followed by a request that must not be served
(\`GET /smuggled\`). Ours refuses all of them, which \`packages/connmgr/src/shell/security.test.ts\` checks;
the original is condure 1.9.1 with a handler behind it that accepts everything. Rows are the inputs the
original does not refuse: what it passes on, another server on the way may read differently. Written by

    npm run security

## Request heads

${table(heads)}
## Chunked bodies

${table(bodies)}
## WebSocket frames

${table(sockets)}`,
  );
});
