import fc from "fast-check";
import { expect, test } from "vitest";
import { parsePlainRunnerArguments } from "./arguments.ts";
import { parseRunnerCommandLine } from "./command-line.ts";

const word = fc.constantFrom(
  ...["--config", "--config=/a/b.conf", "--logfile=x.log", "--merge-output", "-m", "--id=3", "--id"],
  ...["--route=* a:80", "--route", "* b:80,over_http", "--port=80", "--verbose", "a b", "7", "-h"],
);

test("given any command line the plain reader takes, then the full parser makes the same of it", () => {
  let taken = 0;
  fc.assert(
    fc.property(fc.array(word, { maxLength: 5 }), (argv) => {
      const plain = parsePlainRunnerArguments(argv);
      if (plain === undefined) return;
      taken += 1;
      expect(parseRunnerCommandLine(argv, "1")).toEqual({ kind: "run", arguments: plain });
    }),
    { numRuns: 120 },
  );
  expect(taken).toBeGreaterThan(5);
});
