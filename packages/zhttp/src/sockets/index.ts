export { Gathering } from "./gathering.ts";
export {
  InitiatorSockets,
  type InitiatorSocketsOptions,
  type SocketAddress,
} from "./initiator-sockets.ts";
export { ResponderSockets, type ResponderSocketsOptions } from "./responder-sockets.ts";
export { TurnLoad } from "./turn-load.ts";
