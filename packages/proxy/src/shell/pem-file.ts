import { readFileSync } from "node:fs";
import { fail, ok, toUtf8 } from "@pushpin/tnetstrings";
import type { ReadPem } from "../core/routes/route-table.ts";

/** Reads the certificate or key a target names; relative paths begin at the working directory. */
export const readPem: ReadPem = (path) => {
  try {
    return ok(readFileSync(toUtf8(path), "latin1"));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // A directory can be opened, but not read.
    const what = code === "EISDIR" ? "read" : "open";
    return fail(`failed to ${what} ${path}: ${message.split(",")[0]}`);
  }
};
