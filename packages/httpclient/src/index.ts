export { AddressPolicy, type PolicyRules } from "./shell/address-policy.ts";
export { Engine, type EngineOptions } from "./shell/engine.ts";
