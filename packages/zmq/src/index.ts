export {
  DEFAULT_HWM,
  type Frames,
  OVERFLOW_MAX,
  type SocketOptions,
  type SocketType,
  ZmqSocket,
} from "./socket.ts";
