import { defineConfig } from "vitest/config";

/** Hostile input for the original's connection manager; needs that installed. Writes docs/security-condure.md. */
export default defineConfig({
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source", "node", "import", "module", "default"] } },
  test: {
    include: ["test/security/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**"],
    environment: "node",
    pool: "forks",
    testTimeout: 600_000,
    hookTimeout: 60_000,
  },
});
