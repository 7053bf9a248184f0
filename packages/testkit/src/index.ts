export { Backend, type Handle, type HandleSocket, type SeenRequest } from "./backend.ts";
export { TestProcess } from "./child-process.ts";
export { freePorts } from "./free-port.ts";
export { HttpStream, type RequestSpec } from "./http-stream.ts";
export {
  Installation,
  type InstallationOptions,
  makeTestDirectory,
  publishTo,
  renderConfig,
  ROOT,
  type Sections,
} from "./installation.ts";
export { SocketClient } from "./socket-client.ts";
export { until } from "./until.ts";
