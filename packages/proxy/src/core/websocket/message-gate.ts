import { type Bytes, sliceBytes, toByteString } from "@pushpin/tnetstrings";
import type { MessageType } from "./socket-ports.ts";

const CONTROL_PREFIX = "c:";

type Passed = { readonly action: "pass" | "control" | "drop"; readonly body: Bytes };
const DROP: Passed = { action: "drop", body: "" };

/**
 * What the messages of a backend that speaks GRIP mean: for the handler, for the client, or for
 * nobody (proxy.md 5.4). A message is judged by its first fragment, whole.
 */
export class MessageGate {
  readonly prefix: string;
  #current: "pass" | "drop" | undefined;

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  /** The rest of a message comes whose beginning somebody else has judged. */
  inMidMessage(isPassed: boolean): void {
    this.#current = isPassed ? "pass" : "drop";
  }

  next(type: MessageType, body: Bytes, more: boolean): Passed {
    if (this.#current !== undefined) {
      const current = this.#current;
      if (!more) this.#current = undefined;
      return current === "pass" ? { action: "pass", body } : DROP;
    }
    if (type === "text" && startsWith(body, CONTROL_PREFIX)) {
      if (more) {
        this.#current = "drop";
        return DROP;
      }
      return { action: "control", body: sliceBytes(body, CONTROL_PREFIX.length) };
    }
    const isForClient = startsWith(body, this.prefix);
    if (more) this.#current = isForClient ? "pass" : "drop";
    return isForClient ? { action: "pass", body: sliceBytes(body, this.prefix.length) } : DROP;
  }
}

function startsWith(body: Bytes, prefix: string): boolean {
  if (typeof body === "string") return body.startsWith(prefix);
  return toByteString(body.subarray(0, prefix.length)) === prefix;
}
