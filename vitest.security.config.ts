import { defineConfig } from "vitest/config";
import { ONE_BY_ONE, SOURCES } from "./vitest.shared.ts";

/** Hostile input for the original's connection manager; needs that installed. Writes docs/security-condure.md. */
export default defineConfig({
  ...SOURCES,
  test: { ...ONE_BY_ONE, include: ["test/security/**/*.test.ts"], testTimeout: 600_000 },
});
