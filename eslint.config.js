import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

// Biome formats and does the quick lint; this adds the typed rules only.
export default defineConfig([
  {
    ignores: ["**/dist/**", "**/node_modules/**", ".tsbuild/**", "**/*.js", "**/*.cjs", "**/*.mjs"],
  },
  {
    files: ["packages/*/src/**/*.ts", "runner/src/**/*.ts", "test/**/*.ts"],
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: {
        project: ["./packages/*/tsconfig.json", "./runner/tsconfig.json", "./test/tsconfig.json"],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    plugins: { "@typescript-eslint": tseslint.plugin },
    rules: {
      "@typescript-eslint/no-floating-promises": ["error", { ignoreVoid: true }],
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
]);
