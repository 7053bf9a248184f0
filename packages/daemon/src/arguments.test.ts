import fc from "fast-check";
import { expect, test } from "vitest";
import { parsePlainArguments } from "./arguments.ts";
import { parseCommandLine } from "./command-line.ts";

const word = fc.constantFrom(
  ...["--config", "--config=/a/b.conf", "--logfile=x.log", "--loglevel=3", "--loglevel", "9"],
  ...["--ipc-prefix=p1-", "--port-offset=10", "--route=* a:80", "--route", "* b:80,over_http"],
  ...["--slot=2", "--log-json", "--verbose", "-L", "a b", "''", "--slot=1e1", "0x10", "7"],
);

test("given any command line the plain reader takes, then the full parser makes the same of it", () => {
  let taken = 0;
  fc.assert(
    fc.property(fc.array(word, { maxLength: 5 }), (argv) => {
      const plain = parsePlainArguments(argv);
      if (plain === undefined) return;
      taken += 1;
      expect(parseCommandLine("proxy", "1", argv)).toEqual({ kind: "run", arguments: plain });
    }),
    { numRuns: 120 },
  );
  expect(taken).toBeGreaterThan(5);
});
