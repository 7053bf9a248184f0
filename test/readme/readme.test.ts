import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts, ROOT, TestProcess } from "@pushpin/testkit";
import { expect, test } from "vitest";

/** Shell blocks of a page, in order. */
function blocks(page: string): string[] {
  const text = readFileSync(join(ROOT, page), "utf8");
  return [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map((one) => one[1] ?? "");
}

function runShell(script: string, cwd: string, gripUrl: string): Promise<string> {
  return new Promise((resolve) => {
    // Job control, as a terminal has it: the tour ends its background jobs by `kill %1`.
    const shell = spawn("bash", ["-m", "-c", script], {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, GRIP_URL: gripUrl },
    });
    let out = "";
    for (const stream of [shell.stdout, shell.stderr])
      stream.on("data", (data: Buffer) => {
        out += data.toString();
      });
    shell.on("close", () => resolve(out));
  });
}

test("given the tour of the README and the page on publishing, when they are pasted, then they do what they say", async () => {
  const tour = blocks("README.md");
  const publishing = blocks("docs/publishing.md");
  expect([tour.length, publishing.length]).toEqual([3, 1]);
  const hasTools = spawnSync("curl", ["--version"]).status === 0;
  expect(hasTools || process.env.CI !== "true").toBe(true);
  if (!hasTools) {
    console.warn("\n*** the README's tour needs curl; SKIPPED ***\n");
    return;
  }
  // A place with the shipped configuration, on ports of its own.
  const directory = mkdtempSync(join(tmpdir(), "pp-"));
  const [http, pull, control, sub, command, first, second] = await freePorts(7);
  const ports = new Map([
    ["7999", http],
    ["5560", pull],
    ["5561", control],
    ["5562", sub],
    ["5563", command],
    ["8000", first],
    ["8001", second],
  ]);
  const moved = (text: string) =>
    text.replace(/\b(7999|556[0-3]|800[01])\b/g, (port) => String(ports.get(port)));
  cpSync(join(ROOT, "config"), join(directory, "config"), { recursive: true });
  for (const name of ["node_modules", "package.json"])
    symlinkSync(join(ROOT, name), join(directory, name));
  const config = join(directory, "config/pushpin.conf");
  writeFileSync(config, moved(readFileSync(config, "utf8")));
  writeFileSync(join(directory, "config/routes"), "* test\n");
  const runner = new TestProcess(
    "pushpin",
    [
      process.execPath,
      join(ROOT, "runner/bin/pushpin.js"),
      "--config=config/pushpin.conf",
      "--merge-output",
    ],
    { cwd: directory },
  );
  const publish = `"${process.execPath}" "${join(ROOT, "packages/publish/bin/pushpin-publish.js")}"`;
  try {
    await runner.said(/\.\d{3} started$/m);
    const outputs: string[] = [];
    writeFileSync(join(directory, "message.txt"), "a message\n");
    for (const block of [...tour, ...publishing]) {
      const script = moved(block).replaceAll("npx pushpin-publish", publish);
      outputs.push(await runShell(script, directory, `http://localhost:${control}`));
    }
    const [held = "", own = "", socket = "", published = ""] = outputs;
    expect(held).toContain("[stream opened]");
    expect(held).toContain("hello from curl");
    expect(held).toContain("hello from pushpin-publish");
    expect(own).toContain("welcome");
    expect(own).toContain("something happened");
    expect(socket).toContain("echo: hello");
    expect(published.match(/^Published.*$/gm)).toEqual([
      ...Array<string>(4).fill("Published"),
      "Published 2 messages",
      "Published",
    ]);
    expect(published).not.toContain("Error");
  } finally {
    await runner.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}, 90_000);
