import { defineConfig, mergeConfig } from "vitest/config";
import base from "./vitest.config.ts";

/** Our processes beside the original's; needs those installed. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [] } },
  defineConfig({ test: { include: ["test/interop/**/*.test.ts"], fileParallelism: false } }),
);
