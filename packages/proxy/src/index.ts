export { RouteTable } from "./core/routes/route-table.ts";
export { Engine, type EngineOptions, type EngineSockets, TICK_MS } from "./shell/engine.ts";
export { KeyStore } from "./shell/key-store.ts";
