import { defineConfig } from "vitest/config";

const shared = {
  exclude: ["**/node_modules/**", "**/dist/**"],
  environment: "node" as const,
  pool: "forks" as const,
  // Machines that run many things at once starve a test now and then; what fails twice is broken.
  retry: process.env.CI === undefined ? 0 : 1,
};

export default defineConfig({
  // Tests read the sources of every workspace, so a stale build can never pass for the code.
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source", "node", "import", "module", "default"] } },
  test: {
    projects: [
      {
        extends: true,
        test: {
          ...shared,
          name: "unit",
          include: [
            "packages/*/src/**/*.test.ts",
            "runner/src/**/*.test.ts",
            "test/rules/**/*.test.ts",
            "test/*.test.ts",
          ],
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        extends: true,
        test: {
          ...shared,
          // Whole installations, one after the other and by themselves: they measure.
          name: "system",
          include: [
            "test/system/**/*.test.ts",
            "test/crash/**/*.test.ts",
            "test/docs/**/*.test.ts",
          ],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
