export { AddressPolicy, type PolicyRules } from "./shell/address-policy.ts";
export { Resolver, type ResolveAll } from "./shell/resolver.ts";
export { Engine, type EngineOptions } from "./shell/engine.ts";
