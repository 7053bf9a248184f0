import { copyName, inheritedListeners } from "@pushpin/config";
import type { HandedListener } from "./child.ts";
import { type OpenListener, openLocal, openTcp } from "./listeners.ts";
import type { Plan } from "./plan.ts";
import type { Service } from "./services.ts";

/**
 * Limit: clients that a connection manager takes from one listening socket in one turn of its event loop; more wait for the
 * next. libuv takes one for each descriptor, so it is given the socket so many times. Unit: clients.
 */
const ACCEPTS_PER_TURN = 8;
/** Limit: descriptors of listening sockets for one process; many sockets get fewer each, and at least one. Unit: descriptors. */
const DESCRIPTORS_MAX = 512;
/**
 * Limit: copies of the control port's socket for threads of the handler, each of which closes the one it was given;
 * when they are used up, the handler goes on without a thread. Unit: descriptors.
 */
const CONTROL_COPIES_MAX = 4;

/**
 * The sockets children inherit, opened when the first of them starts: by systemd if it gave us any
 * (a socket named `control` is the handler's, all others are for clients), else by ourselves.
 */
export class ListenerSet {
  readonly #plan: Plan;
  readonly #given: ReadonlyMap<string, number>;
  readonly #open = new Map<Service, OpenListener[]>();

  constructor(plan: Plan, given = inheritedListeners()) {
    this.#plan = plan;
    this.#given = given;
  }

  /** @throws Error `failed to bind …`. */
  of(service: Service): readonly HandedListener[] {
    const given = this.#givenTo(service);
    if (given.length > 0) return copied(given, service);
    const open = this.#open.get(service) ?? this.#bind(service);
    this.#open.set(service, open);
    return copied(open, service);
  }

  close(): void {
    for (const group of this.#open.values()) for (const listener of group) listener.close();
    this.#open.clear();
  }

  #givenTo(service: Service): HandedListener[] {
    if (service !== "connmgr" && service !== "handler") return [];
    return [...this.#given]
      .filter(([name]) => /^control\b/.test(name) === (service === "handler"))
      .map(([name, fd]) => ({ name: service === "handler" ? "control" : name, fd }));
  }

  #bind(service: Service): OpenListener[] {
    const { http, https, local, control } = this.#plan;
    if (service === "handler") return control === undefined ? [] : [openTcp("control", control)];
    if (service !== "connmgr") return [];
    const open: OpenListener[] = [];
    try {
      for (const [i, one] of http.entries()) open.push(openTcp(`http-${i}`, one));
      for (const [i, one] of https.entries()) open.push(openTcp(`https-${i}`, one));
      for (const [i, one] of local.entries()) open.push(openLocal(`unix-${i}`, one));
    } catch (error) {
      for (const listener of open) listener.close();
      throw error;
    }
    return open;
  }
}

/** Each socket so many times as clients of it are to be taken at once, or threads may need one of their own. */
function copied(listeners: readonly HandedListener[], service: Service): readonly HandedListener[] {
  if (service !== "connmgr" && service !== "handler") return listeners;
  // Limit: DESCRIPTORS_MAX
  const room = Math.floor(DESCRIPTORS_MAX / listeners.length);
  // Limit: ACCEPTS_PER_TURN, CONTROL_COPIES_MAX
  const wanted = service === "connmgr" ? ACCEPTS_PER_TURN : 1 + CONTROL_COPIES_MAX;
  const each = Math.max(1, Math.min(wanted, room));
  // There is one control port.
  const used = service === "connmgr" ? listeners : listeners.slice(0, 1);
  return used.flatMap(({ name, fd }) =>
    Array.from({ length: each }, (_, i) => ({ name: i === 0 ? name : copyName(name, i), fd })),
  );
}
