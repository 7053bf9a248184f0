import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { SECTIONS } from "@pushpin/config";
import { parsePublishBody } from "@pushpin/grip";
import { ROOT } from "@pushpin/testkit";
import { decodeFrame, encodePacket, type Packet } from "@pushpin/zhttp";
import { describe, expect, test } from "vitest";

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

function filesBelow(directory: string, ending: string): string[] {
  return readdirSync(join(ROOT, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.name === "node_modules" || entry.name === "dist") return [];
    if (entry.isDirectory()) return filesBelow(path, ending);
    return path.endsWith(ending) ? [path] : [];
  });
}

const SOURCES = ["packages", "runner/src"]
  .flatMap((directory) => filesBelow(directory, ".ts"))
  .filter((path) => !path.endsWith(".test.ts"));
const PAGES = ["README.md", ...filesBelow("docs", ".md")];

/** Cells of the rows of all tables of a page. */
function rowsOf(page: string): string[][] {
  return page
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.slice(2, -2).split(" | "));
}

test("given the pages made from the code, when they are made again, then they are the same", () => {
  const done = spawnSync(process.execPath, [join(ROOT, "docs/generate/main.mjs"), "--check"], {
    encoding: "utf8",
  });
  expect([done.status, done.stderr]).toEqual([0, ""]);
});

describe("given docs/limits.md", () => {
  const rows = rowsOf(read("docs/limits.md"));
  const namesInPage = new Set(rows.map(([, name = ""]) => name.replaceAll("`", "")));

  test("when the code names a limit, then the page has it, and the other way round", () => {
    const inCode = new Set<string>();
    for (const path of SOURCES) {
      const text = read(path);
      for (const [, name = ""] of text.matchAll(/\/\/ Limit: ([A-Z][A-Z0-9_]+)\b/g))
        inCode.add(name);
      for (const [, name = ""] of text.matchAll(
        /\/\*\*(?:\s|\*(?!\/))*Limit: (?:(?!\*\/)[^])*\*\/\s*(?:export )?const ([A-Z0-9_]+) =/g,
      ))
        inCode.add(name);
    }
    expect([...namesInPage].sort()).toEqual([...inCode].sort());
    expect(inCode.size).toBeGreaterThan(50);
  });

  test("when a limit is declared, then something in the code keeps to it", () => {
    const uses = new Map<string, number>();
    for (const path of SOURCES)
      for (const [line] of read(path).matchAll(/^ *(?![ */]).*?(?= \/\/ |$)/gm)) {
        if (/^\s*(?:type )?\w+,$|^(?:import|export) [{*]|\bconst [A-Z0-9_]+ =/.test(line)) continue;
        for (const [name] of line.matchAll(/\b[A-Z][A-Z0-9_]+\b/g))
          uses.set(name, (uses.get(name) ?? 0) + 1);
      }
    const unused = [...namesInPage].filter((name) => !uses.has(name));
    expect(unused).toEqual([]);
  });

  test("when a row is read, then it says value, unit, what is bounded and what happens", () => {
    for (const row of rows) {
      expect(row.length, row.join(" | ")).toBe(6);
      expect(row[2], row.join(" | ")).toMatch(/^[\d,]+$/);
      for (const cell of row) expect(cell.trim(), row.join(" | ")).not.toBe("");
    }
  });
});

describe("given docs/config-reference.md", () => {
  const page = read("docs/config-reference.md");
  const keys = SECTIONS.flatMap(({ name, settings }) =>
    Object.entries(settings).map(([key, setting]) => ({ section: name, key, setting })),
  );

  test("when a key is declared, then its section has a row for it, and no other", () => {
    for (const { name, settings } of SECTIONS) {
      const part = page.split(/^## /m).find((one) => one.startsWith(`[${name}]`)) ?? "";
      const documented = rowsOf(part).map(([key = ""]) => key.replaceAll("`", ""));
      expect(documented.sort()).toEqual(Object.keys(settings).sort());
    }
  });

  test("when a key is not said to be unused, then something reads it", () => {
    const text = SOURCES.filter((path) => !path.includes("config/src/settings"))
      .map(read)
      .join("\n");
    const isRead = (key: string) => new RegExp(`\\b${key}\\b`).test(text);
    const saysUnused = ({ setting }: (typeof keys)[number]) => setting.about.startsWith("Not used");
    const named = keys.filter((one) => !saysUnused(one) && !isRead(one.key)).map((one) => one.key);
    expect(named).toEqual([]);
  });

  test("when a key is said to be unused everywhere, then nothing reads it", () => {
    const text = SOURCES.filter((path) => !path.includes("config/src/settings"))
      .map(read)
      .join("\n");
    const used = keys
      .filter(({ key }) =>
        keys
          .filter((other) => other.key === key)
          .every(({ setting }) => setting.about.startsWith("Not used")),
      )
      .filter(({ key }) => new RegExp(`[.{,]\\s*${key}\\b`).test(text))
      .map(({ key }) => key);
    expect(used).toEqual([]);
  });

  test("when a sentence about a key is read, then it is one", () => {
    for (const { section, key, setting } of keys)
      expect(setting.about, `${section}/${key}`).toMatch(/^[A-Z0-9`].*\.$/);
  });

  test("when the shipped configuration is read, then every key in it is documented", () => {
    const shipped = `${read("config/pushpin.conf")}\n${read("packages/config/internal.conf")}`;
    const unknown = [...shipped.matchAll(/^#?([a-z][a-z0-9_]*)=/gm)]
      .map(([, key = ""]) => key)
      .filter((key) => !keys.some((one) => one.key === key));
    expect(unknown).toEqual([]);
  });
});

describe("given the pages of docs", () => {
  test("when they name a file of the project, then it is there", () => {
    const missing: string[] = [];
    for (const page of PAGES.filter((one) => one !== "docs/limits.md"))
      for (const [, path = ""] of read(page).matchAll(
        /`((?:docs|packages|runner\/src|test|config|\.ci)\/[\w./-]*\w)`/g,
      ))
        if (!existsSync(join(ROOT, path))) missing.push(`${page}: ${path}`);
    expect(missing).toEqual([]);
  });

  test("when the code names a page, then it is there", () => {
    const missing = SOURCES.flatMap((path) =>
      [...read(path).matchAll(/\bdocs\/[\w./-]*\.md\b/g)]
        .map(([page]) => page)
        .filter((page) => !existsSync(join(ROOT, page)))
        .map((page) => `${path}: ${page}`),
    );
    expect(missing).toEqual([]);
  });

  test("when ARCHITECTURE says where something is, then it is there", () => {
    const page = read("docs/ARCHITECTURE.md");
    const names = [...page.matchAll(/`((?:[a-z-]+\/)+[a-z-]+(?:\.ts)?|[a-z]+(?:-[a-z]+)+)`/g)].map(
      ([, name = ""]) => name,
    );
    const notFiles = /^(?:handoff-\w+|ws-control|http-response|pushpin-\w+)$/;
    const missing = names.filter((name) => {
      if (notFiles.test(name) || existsSync(join(ROOT, name))) return false;
      const wanted = name.split("/");
      return !SOURCES.some((path) => endsWithParts(path.replace(/\.ts$/, ""), wanted));
    });
    expect(missing).toEqual([]);
    expect(names.length).toBeGreaterThan(20);
  });

  test("when pages point to each other, then they find each other", () => {
    const missing: string[] = [];
    for (const page of PAGES)
      for (const [, name = ""] of read(page).matchAll(/`([\w-]+\.md)`/g))
        if (!existsSync(join(ROOT, dirname(page), name)) && !existsSync(join(ROOT, name)))
          missing.push(`${page}: ${name}`);
    expect(missing).toEqual([]);
  });

  test("when troubleshooting quotes a message, then something says it", () => {
    const said = SOURCES.map(read).join("\n");
    const quoted = read("docs/troubleshooting.md")
      .split("\n")
      .filter((line) => line.startsWith("| "))
      .flatMap((line) => [...(line.split(" | ")[0] ?? "").matchAll(/`([^`]* [^`]*)`/g)])
      .map(([, text = ""]) => text);
    const missing = quoted.filter((text) => !/^c:/.test(text) && !said.includes(text));
    expect(missing).toEqual([]);
    expect(quoted.length).toBeGreaterThan(15);
  });

  test("when they show JSON to publish, then it is a body of items", () => {
    const bodies = PAGES.flatMap((page) => [...read(page).matchAll(/```json\n([^]*?)```/g)]);
    expect(bodies.length).toBeGreaterThan(0);
    for (const [, body = ""] of bodies)
      expect(parsePublishBody(Buffer.from(body)), body).toMatchObject({ ok: true });
  });
});

describe("given the frames shown in docs/wire", () => {
  const frames = ["docs/wire/zhttp.md", "docs/wire/batches.md"].flatMap((page) =>
    [...read(page).matchAll(/```frame\n([^]*?)\n```/g)].map(([, frame = ""]) => frame),
  );

  test.each(frames)("when %j is decoded, then its packets are those of our encoder", (frame) => {
    const packets: Packet[] = [];
    const errors: string[] = [];
    decodeFrame(
      Buffer.from(frame, "latin1"),
      0,
      (packet) => packets.push(packet),
      (error) => errors.push(error),
    );
    expect(errors).toEqual([]);
    const encoded = packets.map((packet) => encodePacket(packet).toString("latin1").slice(1));
    expect(encoded.join("")).toBe(frame.slice(1));
  });

  test("when all are counted, then both letters are among them", () => {
    expect(new Set(frames.map((frame) => frame[0]))).toEqual(new Set(["T", "B"]));
  });
});

/** Whether a path ends with these parts, others of the path left out: `connmgr/shell/x`. */
function endsWithParts(path: string, wanted: readonly string[]): boolean {
  const parts = path.split("/");
  if (parts.at(-1) !== wanted.at(-1)?.replace(/\.ts$/, "")) {
    // A directory of sources.
    return path.includes(`/${wanted.join("/")}/`) || isWithin(parts, wanted);
  }
  return isWithin(parts, wanted.slice(0, -1));
}

function isWithin(parts: readonly string[], wanted: readonly string[]): boolean {
  let at = 0;
  for (const part of parts) if (part === wanted[at]) at += 1;
  return at === wanted.length;
}
