export type Mode = "response" | "stream" | "ws";

/** All who listen to one channel. */
export interface ChannelSubscribers<R, S, W> {
  readonly name: string;
  readonly response: Set<R>;
  readonly stream: Set<S>;
  readonly ws: Set<W>;
  /** The last response hold is gone, but is expected to come back. */
  lingerUntilMs: number | undefined;
}

export interface SubscriptionEvents<R, S, W> {
  /** The first subscriber of any mode. */
  readonly onActive: (channel: string) => void;
  /** The last one of all modes is gone, and nothing lingers. */
  readonly onIdle: (channel: string) => void;
  /** The number of subscribers in a mode changed; 0 only after a linger. */
  readonly onCount: (mode: Mode, channel: string, count: number) => void;
  /** The channel has been active for a second: time to ask for what was missed. */
  readonly onSettled: (channel: ChannelSubscribers<R, S, W>) => void;
}

/** Time a subscription at an upstream publisher is given to take effect. */
export const SETTLE_MS = 1000;

/** Who listens to what (handler.md 1.4, 3.6, 3.7). Response holds linger, as they come and go. */
export class Subscriptions<R, S, W> {
  readonly #channels = new Map<string, ChannelSubscribers<R, S, W>>();
  readonly #lingering = new Set<ChannelSubscribers<R, S, W>>();
  readonly #settling = new Map<ChannelSubscribers<R, S, W>, number>();
  readonly #events: SubscriptionEvents<R, S, W>;
  readonly #lingerMs: number;

  constructor(lingerMs: number, events: SubscriptionEvents<R, S, W>) {
    this.#lingerMs = lingerMs;
    this.#events = events;
  }

  get(channel: string): ChannelSubscribers<R, S, W> | undefined {
    return this.#channels.get(channel);
  }

  has(channel: string): boolean {
    return this.#channels.has(channel);
  }

  addResponse(name: string, hold: R, nowMs: number): void {
    const channel = this.#open(name, nowMs);
    if (channel.lingerUntilMs !== undefined) {
      channel.lingerUntilMs = undefined;
      this.#lingering.delete(channel);
    }
    this.#add("response", channel, channel.response, hold);
  }

  addStream(name: string, hold: S, nowMs: number): void {
    const channel = this.#open(name, nowMs);
    this.#add("stream", channel, channel.stream, hold);
  }

  addWs(name: string, session: W, nowMs: number): void {
    const channel = this.#open(name, nowMs);
    this.#add("ws", channel, channel.ws, session);
  }

  removeResponse(name: string, hold: R, nowMs: number): void {
    const channel = this.#channels.get(name);
    if (channel === undefined || !channel.response.delete(hold)) return;
    if (channel.response.size > 0 || this.#lingerMs <= 0) {
      this.#removed("response", channel, channel.response.size);
      return;
    }
    channel.lingerUntilMs = nowMs + this.#lingerMs;
    this.#lingering.add(channel);
  }

  removeStream(name: string, hold: S): void {
    const channel = this.#channels.get(name);
    if (channel?.stream.delete(hold)) this.#removed("stream", channel, channel.stream.size);
  }

  removeWs(name: string, session: W): void {
    const channel = this.#channels.get(name);
    if (channel?.ws.delete(session)) this.#removed("ws", channel, channel.ws.size);
  }

  /** Lingering subscriptions that nobody took up again; call it once a second. */
  expire(nowMs: number): void {
    for (const channel of this.#lingering) {
      if ((channel.lingerUntilMs ?? 0) > nowMs) break;
      this.#lingering.delete(channel);
      channel.lingerUntilMs = undefined;
      this.#removed("response", channel, 0);
    }
  }

  /** Channels that have settled; call it often. */
  settle(nowMs: number): void {
    for (const [channel, dueMs] of this.#settling) {
      if (dueMs > nowMs) break;
      this.#settling.delete(channel);
      this.#events.onSettled(channel);
    }
  }

  #open(name: string, nowMs: number): ChannelSubscribers<R, S, W> {
    const known = this.#channels.get(name);
    if (known !== undefined) return known;
    const channel: ChannelSubscribers<R, S, W> = {
      name,
      response: new Set(),
      stream: new Set(),
      ws: new Set(),
      lingerUntilMs: undefined,
    };
    this.#channels.set(name, channel);
    this.#settling.set(channel, nowMs + SETTLE_MS);
    this.#events.onActive(name);
    return channel;
  }

  #add<T>(mode: Mode, channel: ChannelSubscribers<R, S, W>, set: Set<T>, one: T): void {
    if (set.has(one)) return;
    set.add(one);
    this.#events.onCount(mode, channel.name, set.size);
  }

  #removed(mode: Mode, channel: ChannelSubscribers<R, S, W>, count: number): void {
    this.#events.onCount(mode, channel.name, count);
    if (
      channel.response.size + channel.stream.size + channel.ws.size > 0 ||
      channel.lingerUntilMs !== undefined
    )
      return;
    this.#channels.delete(channel.name);
    this.#settling.delete(channel);
    this.#events.onIdle(channel.name);
  }
}
