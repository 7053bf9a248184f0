import { defineConfig, mergeConfig } from "vitest/config";
import base from "./vitest.config.ts";

/** A real browser in front of everything; needs Chromium installed. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [] } },
  defineConfig({ test: { include: ["test/browser/**/*.test.ts"], fileParallelism: false } }),
);
