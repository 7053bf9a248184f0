import { defineConfig, mergeConfig } from "vitest/config";
import base from "./vitest.config.ts";

/** Hostile input for the original's connection manager; needs that installed. Writes docs/security-condure.md. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [] } },
  defineConfig({ test: { include: ["test/security/**/*.test.ts"], testTimeout: 600_000 } }),
);
