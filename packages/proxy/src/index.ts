export { RouteTable } from "./core/routes/route-table.ts";
export { Engine, type EngineOptions, type EngineSockets } from "./shell/engine.ts";
export { TICK_MS } from "./core/websocket/socket-timers.ts";
export { KeyStore } from "./shell/key-store.ts";
