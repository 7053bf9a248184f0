/** Everything the connection manager is told once, at its start. */
export interface ConnmgrSettings {
  readonly instanceId: string;
  /** Limit: a request head, and what waits for credits. Unit: bytes. */
  readonly bufferSize: number;
  /** Limit: body bytes a server may send ahead of what the client has taken. Unit: bytes. */
  readonly windowBytes: number;
  /** Limit: fields of a request head. */
  readonly headersMax: number;
  /** Limit: requests sent ahead on one connection; then reading pauses. */
  readonly pipelineMax: number;
  /** Limit: bytes waiting for one client; then it gets no more credits, and no more packets. */
  readonly writeBufferMaxBytes: number;
  /** From the first byte of a head to its end. */
  readonly headerTimeoutMs: number;
  /** Without a byte of a body that may come. */
  readonly bodyTimeoutMs: number;
  /** Between requests. */
  readonly idleTimeoutMs: number;
  /** Without the client taking a byte. */
  readonly writeTimeoutMs: number;
  /** After our last byte, for the client to close its half. */
  readonly lingerMs: number;
  /** After our WebSocket close, for the client's. */
  readonly closeTimeoutMs: number;
  /** permessage-deflate for clients that offer it. */
  readonly allowCompression: boolean;
  /** The proxy is ours: a small request body may ride in the first packet. */
  readonly ownProxy: boolean;
}
