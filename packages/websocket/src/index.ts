export {
  DEFLATE_MAX_BYTES,
  DEFLATE_MIN_BYTES,
  type DeflateAgreement,
  type DeflateNegotiation,
  deflatePiece,
  INFLATED_MAX_BYTES,
  type Inflated,
  Inflater,
  negotiateDeflate,
} from "./deflate.ts";
export { type FrameHandlers, FrameReader, type FrameReaderOptions } from "./frame-reader.ts";
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
export { Utf8Checker } from "./utf8-checker.ts";
