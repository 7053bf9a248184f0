export { HandlerCore } from "./core/handler-core.ts";
