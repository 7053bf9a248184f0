export { type ControlMessage, parseControlMessage } from "./control-message.ts";
export { withCors } from "./cross-origin.ts";
export {
  GRIP_FEATURES,
  hasGripInstruction,
  isGripInstructType,
} from "./detection.ts";
export {
  applyFilter,
  contentFilterMismatch,
  contentFilterNames,
  type FilterContext,
  type FilterOutcome,
  isNetworkFilter,
} from "./filters.ts";
export {
  GRIP_EXTENSION_PREFIX,
  type GripExtension,
  parseGripExtension,
} from "./grip-extension.ts";
export { InitialBodyFilter, renderMessageId } from "./id-format.ts";
export {
  HOLD_TIMEOUT_S,
  type Instruct,
  type InstructResponse,
  type NextLink,
  parseInstruct,
  parseInstruct as parseHeaderInstruct,
  type SessionDetectRule,
  type SessionInstruct,
} from "./instruct.ts";
export {
  CHANNEL_FILTERS_MAX,
  type Channel,
  type HoldMode,
} from "./instruct-draft.ts";
export {
  fromJson,
  JSON_DEPTH_MAX,
  type JsonObject,
  type JsonValue,
  parseJson,
  renderJson,
  renderTextMap,
  toJsonValue,
} from "./json.ts";
export {
  applyJsonPatch,
  PATCH_GROWTH_MAX_BYTES,
  PATCH_OPERATIONS_MAX,
} from "./json-patch.ts";
export { JsonpStream, renderJsonp } from "./jsonp.ts";
export { KEEP_ALIVE_TIMEOUT_S, type KeepAlive } from "./keep-alive.ts";
export {
  NETWORK_FILTER_CONTENT_MAX_BYTES,
  NETWORK_FILTER_TIMEOUT_MS,
  type NetworkFilterRequest,
  networkFilterRequest,
  readNetworkFilterAnswer,
} from "./network-filter.ts";
export type {
  Action,
  HttpResponseFormat,
  HttpStreamFormat,
  WsMessageFormat,
  WsMessageType,
} from "./publish-formats.ts";
export {
  decodePublishMessage,
  ITEM_CHANNELS_MAX,
  type PublishItem,
  parseItem,
  parseItemList,
  parsePublishBody,
  Receipt,
} from "./publish-item.ts";
export {
  parseKey,
  parseVerificationKey,
  Signer,
  type SigningKey,
  signToken,
  TOKEN_LIFETIME_S,
  type VerificationKey,
  verifyToken,
} from "./signature.ts";
export {
  RENDERED_MAX_BYTES,
  renderTemplate,
  type TemplateResolver,
  TemplateStream,
} from "./template.ts";
export {
  decodeWebSocketEvents,
  encodeWebSocketEvents,
  type WebSocketEvent,
} from "./websocket-events.ts";
