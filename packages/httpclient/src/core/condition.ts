/** The ZHTTP conditions this process sends (wire.md 3.5). */
export type Condition =
  | "bad-request"
  | "policy-violation"
  | "remote-connection-failed"
  | "connection-timeout"
  | "tls-error"
  | "session-timeout"
  | "too-many-redirects"
  | "max-size-exceeded"
  | "frame-too-large"
  | "undefined-condition";

/** A connection to a backend did not come about; nothing of the request has been sent. */
export class ConnectError extends Error {
  readonly condition: Condition;

  constructor(condition: Condition, cause: Error) {
    super(cause.message, { cause });
    this.name = "ConnectError";
    this.condition = condition;
  }
}

/** The backend has not begun with the request: whatever its method, it may be sent again. */
export class NotProcessedError extends Error {
  /** It takes the request over HTTP/1.1 only. */
  readonly needsHttp1: boolean;

  constructor(needsHttp1: boolean) {
    super("the backend did not take the request");
    this.name = "NotProcessedError";
    this.needsHttp1 = needsHttp1;
  }
}

/** The backend closed the connection; it may have seen the request. */
export class HangUpError extends Error {
  override readonly name = "HangUpError";
}

/** A body that is not as long as was announced. */
export class BodyLengthError extends Error {
  override readonly name = "BodyLengthError";

  constructor() {
    super("the body is not as long as announced");
  }
}

interface SystemError extends Error {
  readonly code?: string;
  readonly syscall?: string;
  /** Where several addresses were tried. */
  readonly errors?: readonly SystemError[];
}

/** What an idle connection takes at once, or not at all. Unit: bytes. */
const WHOLE_WRITE_BYTES = 8192;

/** What was being done when a connection failed; in a TLS handshake it is another call, or none. */
const CONNECT_CALLS: ReadonlySet<string> = new Set(["connect", "getaddrinfo"]);

/** Why a connection did not come about. */
export function connectCondition(error: SystemError, secure: boolean): Condition {
  const { code } = error;
  if (code === "EPOLICY") return "policy-violation";
  if (code === "UND_ERR_CONNECT_TIMEOUT" || code === "ETIMEDOUT") return "connection-timeout";
  const syscall = error.syscall ?? error.errors?.[0]?.syscall ?? "";
  return secure && !CONNECT_CALLS.has(syscall) ? "tls-error" : "remote-connection-failed";
}

/** The condition for whatever ended a request before its response began. */
export function conditionOf(error: Error): Condition {
  if (error instanceof ConnectError) return error.condition;
  if (error instanceof BodyLengthError) return "bad-request";
  switch ((error as SystemError).code) {
    case "UND_ERR_INVALID_ARG":
    case "UND_ERR_NOT_SUPPORTED":
    case "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH":
    case "ERR_INVALID_CHAR":
    case "ERR_INVALID_HTTP_TOKEN":
    case "ERR_UNESCAPED_CHARACTERS":
    case "ERR_HTTP2_INVALID_CONNECTION_HEADERS":
      return "bad-request";
    default:
      return "undefined-condition";
  }
}

/** Whether the backend closed or reset the connection, as it may do with one that was idle. */
export function isHangUp(error: Error): boolean {
  if (error instanceof HangUpError) return true;
  const { code } = error as SystemError;
  return code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE";
}

/**
 * Whether not one byte of a small request left this machine: the first write to a connection that
 * the backend has reset fails as a whole.
 */
export function isUnsent(error: Error, requestBytes: number): boolean {
  if (error instanceof NotProcessedError) return true;
  const { code, syscall } = error as SystemError;
  const isWrite = syscall === "write" && (code === "EPIPE" || code === "ECONNRESET");
  return isWrite && requestBytes <= WHOLE_WRITE_BYTES;
}
