export { type ConnmgrSettings, Engine } from "./shell/engine.ts";
