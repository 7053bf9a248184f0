export * from "./accept.ts";
export {
  decodePairs,
  decodeRequest,
  decodeResponse,
  encodePairs,
  encodeRequest,
  encodeResponse,
  type RpcReply,
  type RpcRequest,
  type RpcResult,
} from "./envelope.ts";
export * from "./ws-control.ts";
