export type { ConnmgrSettings } from "./core/connmgr-settings.ts";
export { Admission } from "./shell/admission.ts";
export { Certificates } from "./shell/certificates.ts";
export { Engine } from "./shell/engine.ts";
export { Listener } from "./shell/listener.ts";
