import { defineConfig } from "vitest/config";
import { ONE_BY_ONE, SOURCES } from "./vitest.shared.ts";

/** Our processes beside the original's; needs those installed. */
export default defineConfig({
  ...SOURCES,
  test: { ...ONE_BY_ONE, include: ["test/interop/**/*.test.ts"] },
});
