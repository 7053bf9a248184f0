import { createHash } from "node:crypto";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** `Sec-WebSocket-Accept` for a key (RFC 6455, 4.2.2). */
export function acceptKey(key: string): string {
  return createHash("sha1")
    .update(key + GUID, "latin1")
    .digest("base64");
}

/** Text of the answer to an `Upgrade: websocket` that is no valid handshake. */
export const BAD_HANDSHAKE =
  'Request contained an Upgrade header with value "websocket" but the request was not a valid WebSocket request.\n';

/** A code that may stand in a close frame (RFC 6455, 7.4). */
export function isSendableCloseCode(code: number): boolean {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}
