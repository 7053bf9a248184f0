import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "@pushpin/config";
import { leavesOut, missingPrograms, ROOT } from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { blocksOf, Sandbox } from "./sandbox.ts";

const PAGES = ["README.md", ...pagesBelow("docs")];

function pagesBelow(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) return pagesBelow(path);
    return path.endsWith(".md") ? [path] : [];
  });
}

/** What each page's shell blocks, pasted one after the other, must have written in all. */
const SAID: Readonly<Record<string, readonly RegExp[]>> = {
  "README.md": [
    /\[stream opened\]/,
    /hello from curl/,
    /hello from pushpin-publish/,
    /^still here$/m,
    /^welcome$/m,
    /^something happened$/m,
    /echo: hello/,
  ],
  "docs/quick-start.md": [
    /Hello from the Pushpin test handler/,
    /\[stream opened\]/,
    /^hello$/m,
    /what time is it\?/,
    /^\d\d:\d\d:\d\d$/m,
  ],
  "docs/grip-guide.md": [/^# pass 1$/m, /^# fail 0$/m],
  "docs/publishing.md": [
    /"message": ?"Published"/,
    /Invalid format: .*formats/,
    /^pushed$/m,
    /(?:Published\n){4}Published 2 messages\nPublished\n/,
    /"receivers":/,
    /\[stream opened\]\nhello\n/,
  ],
  "docs/explaining.md": [/hold/i, /route: line \d/],
  "docs/operations.md": [
    /^message_rate=500 +; environment PUSHPIN_HANDLER_MESSAGE_RATE$/m,
    /0 errors/,
    /^still here$/m,
    /^ready\nhandler: ok$/m,
    /^message .*test/m,
    /"publish-pull": ?"tcp:/,
    /wanted: test/,
    /\[stream opened\]/,
    /^news \d+$/m,
    /^the first got items$/m,
    /^the second got none$/m,
    /both delivered/,
  ],
  "docs/migration.md": [/0 errors/, /\[runner\]\nservices=/],
  "docs/routes.md": [/2 routes, 0 errors/, /route: line 2/],
};
const FAULTS = /command not found|No such file|Traceback|^Error|syntax error|Address already/m;

describe("given the code blocks of the pages", () => {
  test("when one has a kind, then there is a test for blocks of this kind", () => {
    const kinds =
      /^(?:sh|sh admin|json|json instruct|ini|routes|frame|text|js|python|php|perl|systemd|dockerfile)$/;
    const unknown = PAGES.flatMap((page) =>
      blocksOf(page)
        .filter(({ kind }) => !kinds.test(kind))
        .map(({ kind }) => `${page}: ${kind}`),
    );
    expect(unknown).toEqual([]);
    const untested = PAGES.filter(
      (page) => SAID[page] === undefined && blocksOf(page).some(({ kind }) => kind === "sh"),
    );
    expect(untested).toEqual([]);
  });

  test("when one is for the shell, then it is well-formed", () => {
    for (const page of PAGES)
      for (const { kind, text } of blocksOf(page).filter((one) => one.kind.startsWith("sh"))) {
        const done = spawnSync("bash", ["-n"], { input: text, encoding: "utf8" });
        expect([page, kind, done.stderr]).toEqual([page, kind, ""]);
      }
  });

  test("when one is configuration, then every key and value in it is good", () => {
    const directory = mkdtempSync(join(tmpdir(), "pp-"));
    const file = join(directory, "pushpin.conf");
    for (const page of PAGES)
      for (const { text } of blocksOf(page).filter((one) => one.kind === "ini")) {
        // The dialect's own page shows forms, not keys.
        if (text.startsWith("[section]")) continue;
        writeFileSync(file, text);
        const problems = loadConfig({ file }).problems();
        expect([page, text, problems.map((one) => one.message)]).toEqual([page, text, []]);
      }
    rmSync(directory, { recursive: true });
  });

  test("when one has routes, then pushpin check has nothing to say", () => {
    const directory = mkdtempSync(join(tmpdir(), "pp-"));
    writeFileSync(join(directory, "pushpin.conf"), "[proxy]\nroutesfile=routes\n");
    for (const page of PAGES)
      for (const { text } of blocksOf(page).filter((one) => one.kind === "routes")) {
        writeFileSync(join(directory, "routes"), text);
        const args = [join(ROOT, "runner/bin/pushpin.js"), "check", "--config=pushpin.conf"];
        const done = spawnSync(process.execPath, args, { cwd: directory, encoding: "utf8" });
        expect([page, text, done.status, done.stdout + done.stderr]).toEqual([
          page,
          text,
          0,
          expect.stringMatching(/ 0 errors, 0 warnings/),
        ]);
      }
    rmSync(directory, { recursive: true });
  });
});

describe.each(Object.keys(SAID))("given the commands of %s", (page) => {
  const needed = ["bash", "curl", ...(page.includes("quick") ? ["python3"] : [])];
  const isLeftOut = leavesOut(page, missingPrograms(...needed));
  let sandbox: Sandbox;

  beforeAll(async () => {
    if (isLeftOut) return;
    sandbox = await Sandbox.make();
    await sandbox.start();
  }, 60_000);
  afterAll(() => sandbox?.stop());

  test.skipIf(isLeftOut)(
    "when they are pasted, then they do what the page says",
    async () => {
      let said = "";
      for (const { kind, text } of blocksOf(page))
        if (kind === "sh") said += await sandbox.run(text);
      for (const pattern of SAID[page] ?? []) expect(said).toMatch(pattern);
      expect(said).not.toMatch(FAULTS);
    },
    120_000,
  );
});
