import { describe, expect, test } from "vitest";
import { readPlainOptions } from "./index.ts";

const read = (...argv: string[]) =>
  readPlainOptions(argv, { config: "string", id: "number", route: "array", json: "boolean" });

describe("given options by their long names", () => {
  test("when each is known, then their values are read", () => {
    const given = read("--config=a b", "--id", "3", "--route=* x", "--json", "--route", "y z");
    expect(Object.fromEntries(given ?? [])).toEqual({
      config: "a b",
      id: 3,
      route: ["* x", "y z"],
      json: true,
    });
  });

  test("when there are none, then nothing is given", () => {
    expect(read()?.size).toBe(0);
  });

  test.each([
    [["--help"]],
    [["-c", "x"]],
    [["-config=x"]],
    [["--conf=x"]],
    [["--constructor=x"]],
    [["word"]],
    [["--"]],
    [["--config"]],
    [["--config="]],
    [["--config", "--json"]],
    [["--config='x'"]],
    [["--config=a", "--config=b"]],
    [["--id=x"]],
    [["--id=-1"]],
    [["--id=010"]],
    [["--json=true"]],
    [["--no-json"]],
  ])("when the command line is %j, then it is left to the full parser", (argv) => {
    expect(read(...argv)).toBeUndefined();
  });
});
