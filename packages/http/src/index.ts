export {
  CHUNK_LINE_MAX_BYTES,
  ChunkedDecoder,
  type ChunkedResult,
  EXTENSIONS_MAX_BYTES,
  TRAILERS_MAX_BYTES,
} from "./chunked-decoder.ts";
export {
  connectionTokens,
  filterHeaders,
  getAllHeaders,
  getHeader,
  type HeaderList,
  HOP_BY_HOP,
  hasHeader,
  type Parameterised,
  parsePairs,
  parseParameters,
  removeHeader,
  setHeader,
  splitList,
} from "./headers.ts";
export { reasonPhrase } from "./reason.ts";
export {
  type HeadError,
  type HeadResult,
  parseRequestHead,
  type RequestHead,
} from "./request-head.ts";
export {
  type Framing,
  isWritable,
  type ResponseLine,
  renderResponseHead,
} from "./response-head.ts";
export { isIdempotent } from "./methods.ts";
