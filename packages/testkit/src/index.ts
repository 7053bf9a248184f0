export { Backend, type BackendOptions, type Handle, type HandleSocket, type SeenRequest } from "./backend.ts";
export { TestProcess } from "./child-process.ts";
export { freePorts } from "./free-port.ts";
export { HttpStream, type RequestSpec } from "./http-stream.ts";
export {
  type Ground,
  Installation,
  type InstallationOptions,
  makeTestDirectory,
  prepareGround,
  publishTo,
  renderConfig,
  ROOT,
  type Sections,
} from "./installation.ts";
export { leavesOut, missingPrograms, systemPath, systemProgram } from "./optional-peer.ts";
export { RawBackend, type RawConnection } from "./raw-backend.ts";
export { RawClient, type RawResponse } from "./raw-client.ts";
export { launchService, type ServiceName } from "./service.ts";
export { SocketClient } from "./socket-client.ts";
export { awaitedLater, until } from "./until.ts";
export { PushPublisher, SubPublisher } from "./zmq-publisher.ts";
