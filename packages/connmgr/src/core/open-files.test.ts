import { describe, expect, test } from "vitest";
import { parseOpenFilesLimit, possibleClients, RESERVED_FILES } from "./open-files.ts";

const LIMITS = `Limit                     Soft Limit           Hard Limit           Units
Max processes             256763               256763               processes
Max open files            20000                40000                files
Max locked memory         8388608              8388608              bytes
`;

describe("given the limits of a process", () => {
  test("when they name open files, then the soft limit counts", () => {
    expect(parseOpenFilesLimit(LIMITS)).toBe(20_000);
  });

  test.each(["", "Max open files            unlimited            unlimited            files\n"])(
    "when they do not, then there is none",
    (text) => {
      expect(parseOpenFilesLimit(text)).toBeUndefined();
    },
  );

  test.each([
    [50_000, undefined, 50_000],
    [50_000, 20_000, 20_000 - RESERVED_FILES],
    [1000, 20_000, 1000],
    [1000, 100, 1],
  ])(
    "when %i clients are wanted and %s files allowed, then %i can be had",
    (wanted, files, clients) => {
      expect(possibleClients(wanted, files)).toBe(clients);
    },
  );
});
