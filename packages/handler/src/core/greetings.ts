import { ID_LIST_MAX, Packet, type Session } from "@pushpin/zhttp";

/**
 * The first keep-alives of clients taken over from the process before this one: they come by the
 * thousand, so one packet speaks for many. Has to be flushed before anything else is sent to them.
 */
export class Greetings {
  readonly #from: string;
  readonly #send: (to: string, packet: Packet, viaRouter: boolean) => void;
  #packet: Packet | undefined;
  #to = "";
  #viaRouter = false;

  constructor(from: string, send: (to: string, packet: Packet, viaRouter: boolean) => void) {
    this.#from = from;
    this.#send = send;
  }

  /** False if this session needs a packet of its own. */
  add(session: Session): boolean {
    const entry = session.takeGreeting();
    if (entry === undefined) return false;
    if (session.peer !== this.#to || session.routerResp !== this.#viaRouter) this.flush();
    if (this.#packet?.ids === undefined) {
      const packet = new Packet();
      packet.type = "keep-alive";
      packet.from = this.#from;
      packet.multi = true;
      packet.ids = [];
      this.#packet = packet;
      this.#to = session.peer;
      this.#viaRouter = session.routerResp;
    }
    const ids = this.#packet.ids ?? [];
    ids.push(entry);
    if (ids.length >= ID_LIST_MAX) this.flush(); // Limit: ID_LIST_MAX
    return true;
  }

  flush(): void {
    const packet = this.#packet;
    if (packet === undefined) return;
    this.#packet = undefined;
    this.#send(this.#to, packet, this.#viaRouter);
  }
}
