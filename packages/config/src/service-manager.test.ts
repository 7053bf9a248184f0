import { describe, expect, test } from "vitest";
import { copyName, groupCopies, inheritedListeners } from "./service-manager.ts";

describe("given inherited descriptors of which some are of the same socket", () => {
  const listeners = inheritedListeners(
    {
      LISTEN_FDS: "5",
      LISTEN_FDNAMES: ["http-0", copyName("http-0", 1), copyName("http-0", 2), "https-0", "https-0"].join(":"),
    },
    1,
  );

  test("when they are grouped, then each socket comes once, with all of its descriptors", () => {
    expect(groupCopies(listeners)).toEqual([
      { name: "http-0", fds: [3, 4, 5] },
      { name: "https-0", fds: [6] },
      { name: "https-0-4", fds: [7] }, // another socket of the same name
    ]);
  });
});
