import type { TimerWheel, WheelEntry } from "@pushpin/clock";

/** A stream hold that asks its next link from time to time. */
export interface LinkMember {
  /** The group it is in; owned by `LinkTimers`. */
  linkGroup?: LinkGroup | undefined;
  linkTimedOut(nowMs: number): void;
}

export interface Due extends WheelEntry {
  due(nowMs: number): void;
}

export class LinkGroup implements Due {
  readonly key: string;
  readonly timeoutMs: number;
  readonly members = new Set<LinkMember>();
  readonly active = new Set<LinkMember>();
  readonly #owner: LinkTimers;

  constructor(key: string, timeoutMs: number, owner: LinkTimers) {
    this.key = key;
    this.timeoutMs = timeoutMs;
    this.#owner = owner;
  }

  due(nowMs: number): void {
    this.#owner.due(this, nowMs);
  }
}

/**
 * Link timeouts, one timer for all sessions with the same link and timeout, so that they ask
 * together and share one request (handler.md 4.7).
 */
export class LinkTimers {
  readonly #groups = new Map<string, LinkGroup>();
  readonly #wheel: TimerWheel<Due>;

  constructor(wheel: TimerWheel<Due>) {
    this.#wheel = wheel;
  }

  add(member: LinkMember, uri: string, timeoutS: number, nowMs: number): void {
    const query = uri.indexOf("?");
    const key = `${timeoutS} ${query < 0 ? uri : uri.slice(0, query)}`;
    if (member.linkGroup?.key === key) return;
    this.remove(member);
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = new LinkGroup(key, timeoutS * 1000, this);
      this.#groups.set(key, group);
      this.#wheel.schedule(group, nowMs + group.timeoutMs);
    }
    group.members.add(member);
    member.linkGroup = group;
  }

  remove(member: LinkMember): void {
    const group = member.linkGroup;
    if (group === undefined) return;
    member.linkGroup = undefined;
    group.members.delete(member);
    group.active.delete(member);
    if (group.members.size > 0) return;
    this.#wheel.cancel(group);
    this.#groups.delete(group.key);
  }

  /** All channels of the member have been heard of: it need not ask at the next timeout. */
  markActive(member: LinkMember): void {
    member.linkGroup?.active.add(member);
  }

  due(group: LinkGroup, nowMs: number): void {
    const active = new Set(group.active);
    group.active.clear();
    const others = [...group.members].filter((one) => !active.has(one));
    if (active.size > 0) this.#wheel.schedule(group, nowMs + group.timeoutMs);
    for (const one of others) this.remove(one);
    for (const one of others) one.linkTimedOut(nowMs);
  }
}
