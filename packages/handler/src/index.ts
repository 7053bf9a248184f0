export { type ControlTarget, answerControl } from "./core/control-api.ts";
export { type CommandTarget, runCommand } from "./core/commands.ts";
export { type CoreOptions, HandlerCore, TICK_MS } from "./core/handler-core.ts";
export type { CoreSettings, HandlerOutputs } from "./core/services.ts";
export { ControlExchange } from "./core/control-exchange.ts";
