export { createPushpin, type Item, Pushpin, type PushpinOptions } from "./create-pushpin.ts";
export { parseServices, SERVICES, type Service, serviceOf } from "./services.ts";
