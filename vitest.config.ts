import { defineConfig } from "vitest/config";

export default defineConfig({
  // Tests read the sources of every workspace, so a stale build can never pass for the code.
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source", "node", "import", "module", "default"] } },
  test: {
    include: [
      "packages/*/src/**/*.test.ts",
      "runner/src/**/*.test.ts",
      "test/system/**/*.test.ts",
      "test/readme/**/*.test.ts",
      "test/docs/**/*.test.ts",
      "test/rules/**/*.test.ts",
      "test/*.test.ts",
    ],
    exclude: ["**/node_modules/**", "**/dist/**"],
    environment: "node",
    pool: "forks",
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
