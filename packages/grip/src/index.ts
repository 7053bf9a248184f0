export { GRIP_FEATURES, hasGripInstruction } from "./detection.ts";
export {
  type Channel,
  HOLD_TIMEOUT_S,
  type Instruct,
  type KeepAlive,
  parseHeaderInstruct,
} from "./instruct.ts";
export {
  type Action,
  decodePublishMessage,
  fromJson,
  type HttpResponseFormat,
  type HttpStreamFormat,
  type PublishItem,
  parseItem,
} from "./publish-item.ts";
export {
  parseKey,
  Signer,
  type SigningKey,
  signToken,
  TOKEN_LIFETIME_S,
  verifyToken,
} from "./signature.ts";
