import { countOf, type ShownPacket, textOf } from "./shown-packet.ts";

/** Limit: subscriptions remembered; more are told but not remembered. */
export const SUBSCRIPTIONS_KNOWN_MAX = 100_000;
/** A packet that names no time is believed for this long. Unit: seconds. */
const TTL_S = 60;

export interface KnownSubscription {
  readonly mode: string;
  readonly channel: string;
  subscribers: number;
  expiresAtMs: number;
}

export type SubscriptionChange =
  | { readonly kind: "SUB"; readonly mode: string; readonly channel: string; readonly subscribers: number }
  | { readonly kind: "UNSUB"; readonly mode: string; readonly channel: string };

/** Who is subscribed to what, as far as `sub` packets have told. */
export class SubscriptionList {
  readonly #known = new Map<string, KnownSubscription>();

  /** @returns the change, or nothing where all was known. */
  receive(packet: ShownPacket, nowMs: number): SubscriptionChange[] {
    if (packet.topic !== "sub") return [];
    const mode = textOf(packet, "mode");
    const channel = textOf(packet, "channel");
    const key = `${mode} ${channel}`;
    const known = this.#known.get(key);
    if (packet.fields["unavailable"] === true) {
      this.#known.delete(key);
      return known === undefined ? [] : [{ kind: "UNSUB", mode, channel }];
    }
    const subscribers = countOf(packet, "subscribers");
    const expiresAtMs = nowMs + (countOf(packet, "ttl") || TTL_S) * 1000;
    if (known !== undefined) {
      const isNews = known.subscribers !== subscribers;
      known.subscribers = subscribers;
      known.expiresAtMs = expiresAtMs;
      return isNews ? [{ kind: "SUB", mode, channel, subscribers }] : [];
    }
    // Limit: SUBSCRIPTIONS_KNOWN_MAX
    if (this.#known.size < SUBSCRIPTIONS_KNOWN_MAX)
      this.#known.set(key, { mode, channel, subscribers, expiresAtMs });
    return [{ kind: "SUB", mode, channel, subscribers }];
  }

  /** What nobody has confirmed in its time. */
  expire(nowMs: number): SubscriptionChange[] {
    const gone: SubscriptionChange[] = [];
    for (const [key, { mode, channel, expiresAtMs }] of this.#known) {
      if (nowMs < expiresAtMs) continue;
      this.#known.delete(key);
      gone.push({ kind: "UNSUB", mode, channel });
    }
    return gone;
  }

  get all(): readonly KnownSubscription[] {
    return [...this.#known.values()];
  }
}

export function renderChange(change: SubscriptionChange): string {
  const { kind, mode, channel } = change;
  return change.kind === "SUB"
    ? `${kind} ${mode} ${channel} ${change.subscribers}`
    : `${kind} ${mode} ${channel}`;
}
