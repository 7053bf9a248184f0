export {
  CONTROL_MAX_BYTES,
  closePayload,
  encodeFrame,
  encodeMaskedFrame,
  OPCODE,
  type Opcode,
} from "./frames.ts";
export { acceptKey, BAD_HANDSHAKE, isSendableCloseCode } from "./handshake.ts";
export { type MessageHandlers, MessageReceiver } from "./message-receiver.ts";
