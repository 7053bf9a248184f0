export { GRIP_FEATURES, hasGripInstruction, isGripInstructType } from "./detection.ts";
export { HOLD_TIMEOUT_S, type Instruct, type InstructResponse, type NextLink, parseInstruct, type SessionDetectRule, type SessionInstruct } from "./instruct.ts";
export { CHANNEL_FILTERS_MAX, type Channel, type HoldMode } from "./instruct-draft.ts";
export { fromJson, JSON_DEPTH_MAX, type JsonObject, type JsonValue, parseJson, renderJson, renderTextMap, toJsonValue } from "./json.ts";
export { KEEP_ALIVE_TIMEOUT_S, type KeepAlive } from "./keep-alive.ts";
export type { Action, HttpResponseFormat, HttpStreamFormat, WsMessageFormat, WsMessageType } from "./publish-formats.ts";
export { decodePublishMessage, type PublishItem, parseItem, parseItemList, parsePublishBody } from "./publish-item.ts";
export { parseKey, Signer, type SigningKey, signToken, TOKEN_LIFETIME_S, verifyToken } from "./signature.ts";
