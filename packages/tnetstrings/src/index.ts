export { ByteStringMap } from "./byte-string-map.ts";
export {
  type Bytes,
  byteLength,
  concatBytes,
  detach,
  detached,
  equalBytes,
  fromUtf8,
  isUtf8,
  sliceBytes,
  toBuffer,
  toByteString,
  toUtf8,
  VIEW_THRESHOLD_BYTES,
} from "./bytes.ts";
export {
  type DecodeLimits,
  decode,
  TNET_DEPTH_MAX,
  TNET_ELEMENTS_MAX,
  type Tnet,
  type TnetMap,
} from "./decode.ts";
export {
  ByteWriter,
  encode,
  Encoded,
  encodeByteString,
  encodeText,
  lengthPrefix,
  type TnetInput,
} from "./encode.ts";
export { Fields } from "./fields.ts";
export { fail, ok, type Result } from "./result.ts";
