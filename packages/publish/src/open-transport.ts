import { PublishError, type Transport } from "./transport.ts";

export interface TransportOptions {
  readonly spec: string;
  readonly isPub: boolean;
  readonly authorization: string;
}

/**
 * By HTTP where the spec is a URL of that kind, else by a ZeroMQ socket. Each loads only what it
 * needs: most calls send one message and end.
 */
export async function openTransport(options: TransportOptions): Promise<Transport> {
  if (/^https?:/i.test(options.spec)) {
    if (options.isPub) throw new PublishError("--pub needs a ZeroMQ address");
    const { openHttpTransport } = await import("./http-transport.ts");
    return await openHttpTransport(options.spec, options.authorization);
  }
  const { openPubTransport, openPushTransport } = await import("./zmq-transport.ts");
  return options.isPub ? openPubTransport(options.spec) : openPushTransport(options.spec);
}
