import { parseParameters, splitList } from "@pushpin/http";

/** Prefix of backend messages that go to the client, unless the backend asks for another. */
export const GRIP_EXTENSION_PREFIX = "m:";

export interface GripExtension {
  /** Empty: every message goes to the client. */
  readonly messagePrefix: string;
  /** The extension as the backend wrote it. */
  readonly text: string;
}

/**
 * Finds `grip` among the values of `Sec-WebSocket-Extensions` (proxy.md 5.3). Undefined if it is not
 * there, or if its parameters are malformed: then frames pass as they are.
 */
export function parseGripExtension(values: readonly string[]): GripExtension | undefined {
  for (const text of values.flatMap(splitList)) {
    const parsed = parseParameters(text);
    if (parsed === undefined || parsed.value !== "grip") continue;
    if (text.endsWith("=")) return undefined; // `message-prefix=` without a value
    const given = parsed.parameters.find(([name]) => name === "message-prefix")?.[1];
    return { messagePrefix: given ?? GRIP_EXTENSION_PREFIX, text };
  }
  return undefined;
}
