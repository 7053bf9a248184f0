import { defineConfig } from "vitest/config";
import { ONE_BY_ONE, SHARED, SOURCES } from "./vitest.shared.ts";

export default defineConfig({
  ...SOURCES,
  test: {
    projects: [
      {
        extends: true,
        test: {
          ...SHARED,
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
          ...ONE_BY_ONE,
          name: "system",
          include: ["test/system/**/*.test.ts", "test/crash/**/*.test.ts", "test/docs/**/*.test.ts"],
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
