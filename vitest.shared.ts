/** Tests read the sources of every workspace, so a stale build can never pass for the code. */
export const SOURCES = {
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source", "node", "import", "module", "default"] } },
};

export const SHARED = {
  exclude: ["**/node_modules/**", "**/dist/**"],
  environment: "node" as const,
  pool: "forks" as const,
  // Machines that run many things at once starve a test now and then; what fails twice is broken.
  retry: process.env["CI"] === undefined ? 0 : 1,
};

/** Whole installations, one after the other and by themselves. */
export const ONE_BY_ONE = {
  ...SHARED,
  testTimeout: 60_000,
  hookTimeout: 60_000,
  fileParallelism: false,
};
