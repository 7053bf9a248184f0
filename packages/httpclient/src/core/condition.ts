const TLS_CODE =
  /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|UNABLE_TO|SELF_SIGNED|EPROTO|HOSTNAME_MISMATCH)/;

/** The ZHTTP condition for an error of a backend connection, before a response has begun. */
export function conditionOf(error: unknown): string {
  const { code = "", message = "" } = error as { code?: string; message?: string };
  if (code === "EPOLICY") return "policy-violation";
  if (code === "UND_ERR_CONNECT_TIMEOUT" || code === "ETIMEDOUT") return "connection-timeout";
  if (TLS_CODE.test(code) || /certificate|SSL routines|wrong version number/i.test(message))
    return "tls-error";
  switch (code) {
    case "ECONNREFUSED":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "EADDRNOTAVAIL":
    case "ENOENT":
      return "remote-connection-failed";
    default:
      return "undefined-condition";
  }
}
