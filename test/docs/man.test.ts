import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@pushpin/testkit";
import { describe, expect, test } from "vitest";

const pages = readdirSync(join(ROOT, "man"));
const read = (name: string) => readFileSync(join(ROOT, "man", name), "utf8");

// That they are current is tested with the other pages that are made.
describe("given the man pages", () => {
  test("when a program is installed, then it has a page", () => {
    const { bin } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      bin: Record<string, string>;
    };
    expect(pages).toEqual(expect.arrayContaining(Object.keys(bin).map((name) => `${name}.1`)));
    expect(pages).toContain("pushpin.conf.5");
  });

  test("when a page of a command is read, then it has what such pages have", () => {
    for (const name of pages.filter((one) => one.endsWith(".1"))) {
      const sections = [...read(name).matchAll(/^\.SH (.*)$/gm)].map(([, title]) => title);
      expect(sections, name).toEqual(
        expect.arrayContaining(["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SEE ALSO"]),
      );
      expect(read(name), name).toMatch(/^\.TP\n\\fB\\-/m);
    }
  });

  test("when they point to other pages, then these are there", () => {
    for (const name of pages)
      for (const [, other = "", number = ""] of read(name).matchAll(/^(\S+)\((\d)\),?$/gm))
        expect(pages, name).toContain(`${other.replaceAll("\\", "")}.${number}`);
  });

  test("when they are set, then there is nothing to warn of", () => {
    if (spawnSync("groff", ["--version"]).status !== 0) {
      console.warn("\n*** setting man pages needs groff; SKIPPED ***\n");
      return;
    }
    for (const name of pages) {
      const done = spawnSync("groff", ["-man", "-Tascii", "-ww", join(ROOT, "man", name)], {
        encoding: "utf8",
      });
      expect([name, done.status, done.stderr]).toEqual([name, 0, ""]);
      expect(done.stdout.length).toBeGreaterThan(100);
    }
  });
});
