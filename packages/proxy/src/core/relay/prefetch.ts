import type { Bytes } from "@pushpin/tnetstrings";
import type { ClientListener, ClientRequest } from "./client-request.ts";
import type { RequestBody } from "./request-body.ts";

/** Reads the beginning of a body before anybody else sees the request. */
export class Prefetch implements ClientListener {
  readonly #client: ClientRequest;
  readonly #body: RequestBody;
  readonly #untilBytes: number;
  readonly #done: () => void;

  constructor(client: ClientRequest, body: RequestBody, untilBytes: number, done: () => void) {
    this.#client = client;
    this.#body = body;
    this.#untilBytes = untilBytes;
    this.#done = done;
  }

  start(): void {
    this.#client.listener = this;
    this.#look();
  }

  body(client: ClientRequest, body: Bytes, more: boolean): void {
    this.#body.add(body, more);
    client.session.grant(body.length);
    this.#look();
  }

  drained(): void {}

  proceeded(): void {}

  gone(): void {}

  #look(): void {
    if (!this.#body.isComplete && this.#body.bytes < this.#untilBytes) return;
    if (this.#client.listener === this) this.#client.listener = undefined;
    this.#done();
  }
}

/** Takes what comes while the handler is asked. */
export class LateBody implements ClientListener {
  isGone = false;
  readonly #body: RequestBody;

  constructor(client: ClientRequest, body: RequestBody) {
    this.#body = body;
    client.listener = this;
  }

  body(client: ClientRequest, body: Bytes, more: boolean): void {
    this.#body.add(body, more);
    client.session.grant(body.length);
  }

  drained(): void {}

  proceeded(): void {}

  gone(): void {
    this.isGone = true;
  }
}
