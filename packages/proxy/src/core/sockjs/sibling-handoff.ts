import type { RetryPacket } from "@pushpin/zrpc";
import type { ClientListener, ClientRequest } from "../relay/client-request.ts";
import type { RequestBody } from "../relay/request-body.ts";

/** The other workers of the proxy, where there are several. */
export interface Siblings {
  /** This worker's number. */
  readonly slot: number;
  readonly count: number;
  /** The request is resumed by that worker, as if it were given back by the handler. */
  handOver(slot: number, retry: RetryPacket): void;
}

/** Which worker keeps what `key` names: the same answer in every worker. */
export function ownerOf(key: string, count: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i += 1)
    hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193) >>> 0;
  // Its low bits depend on the low bits of the characters only.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return ((hash ^ (hash >>> 13)) >>> 0) % count;
}

/** Gives a whole request to the worker that has its session. */
export class SiblingHandoff implements ClientListener {
  readonly #client: ClientRequest;
  readonly #body: RequestBody;
  readonly #handOver: (retry: RetryPacket) => void;

  constructor(client: ClientRequest, body: RequestBody, handOver: (retry: RetryPacket) => void) {
    this.#client = client;
    this.#body = body;
    this.#handOver = handOver;
  }

  start(): void {
    this.#client.listener = this;
    this.#client.beginHandoff();
  }

  body(): void {}

  drained(): void {}

  proceeded(client: ClientRequest): void {
    const { method, uri, headers, route } = client.info;
    this.#handOver({
      requests: [client.state()],
      requestData: { method, uri, headers, body: this.#body.content },
      ...(route === undefined ? {} : { route: route.id }),
    });
    client.handOver();
  }

  gone(): void {}
}
