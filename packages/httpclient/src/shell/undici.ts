import { createRequire } from "node:module";
import type * as undici from "undici";

/**
 * The two parts of undici we use. All of it together, with fetch, caches and mocks, is five times as much
 * code, which would have to be read at every start (docs/decisions/0006-start-time.md).
 */
const load = createRequire(import.meta.url);

export const Client = load("undici/lib/dispatcher/client.js") as typeof undici.Client;
export type Client = undici.Client;

export const buildConnector = load("undici/lib/core/connect.js") as typeof undici.buildConnector;
