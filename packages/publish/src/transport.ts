import type { Item } from "./item.ts";

/** Something an operator can act on; the message is shown after `Error: `. */
export class PublishError extends Error {}

/** A way to a handler. Items arrive in the order they were sent. */
export interface Transport {
  /** @throws PublishError if the item was not taken. */
  send(item: Item): Promise<void>;
  close(): Promise<void>;
}
