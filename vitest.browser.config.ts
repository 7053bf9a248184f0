import { defineConfig } from "vitest/config";
import { ONE_BY_ONE, SOURCES } from "./vitest.shared.ts";

/** A real browser in front of everything; needs Chromium installed. */
export default defineConfig({
  ...SOURCES,
  test: { ...ONE_BY_ONE, include: ["test/browser/**/*.test.ts"] },
});
