export { PENDING_CALLS_MAX, RpcClient } from "./rpc-client.ts";
export { type OnRequest, RpcServer } from "./rpc-server.ts";
