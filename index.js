export { createPushpin } from "@pushpin/runner";
