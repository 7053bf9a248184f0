export { Engine } from "./shell/engine.ts";
