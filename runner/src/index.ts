export { parseServices, SERVICES, type Service, serviceOf } from "./services.ts";
