import type { Socket } from "node:net";
import { clientNetwork } from "../core/client-network.ts";
import type { Origin } from "./client-connection.ts";

/** Limit: clients that wait, unread, for a place; more are closed at once. */
export const WAITING_MAX = 1024;

type Counted = Socket & { admission?: Admission; admittedAs?: string; isAdmitted?: boolean };

export interface AdmissionOptions {
  /** Limit: clients at once. */
  readonly connectionsMax: number;
  /** Limit: clients of one address; 0 or less is off. */
  readonly perAddressMax: number;
  readonly onRefused: (why: string) => void;
}

/** Who may connect: so many clients in all, so many of one address. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #perAddress = new Map<string, number>();
  #waiting: { socket: Counted; go: (socket: Socket) => void }[] = [];
  #admitted = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Calls `go` when there is a place: now, or when another client has gone. */
  enter(socket: Socket, go: (socket: Socket) => void): void {
    const counted: Counted = socket;
    counted.admission = this;
    counted.on("close", onClose);
    if (this.#admitted < this.#options.connectionsMax) {
      this.#admit(counted, go);
      return;
    }
    if (this.#waiting.length >= WAITING_MAX) {
      this.#options.onRefused("too many clients");
      socket.destroy();
      return;
    }
    socket.on("error", ignore);
    this.#waiting.push({ socket: counted, go });
  }

  /** Counts the client for its address; false if it must go. */
  isAllowed(socket: Socket, origin: Origin): boolean {
    const { perAddressMax } = this.#options;
    if (perAddressMax <= 0 || origin.address === "") return true;
    const network = clientNetwork(origin.address);
    const count = this.#perAddress.get(network) ?? 0;
    if (count >= perAddressMax) {
      this.#options.onRefused("too many clients of one address");
      return false;
    }
    this.#perAddress.set(network, count + 1);
    (socket as Counted).admittedAs = network;
    return true;
  }

  left(socket: Counted): void {
    if (socket.isAdmitted !== true) {
      this.#waiting = this.#waiting.filter((one) => one.socket !== socket);
      return;
    }
    this.#admitted -= 1;
    const address = socket.admittedAs;
    if (address !== undefined) {
      const count = (this.#perAddress.get(address) ?? 0) - 1;
      if (count > 0) this.#perAddress.set(address, count);
      else this.#perAddress.delete(address);
    }
    while (this.#admitted < this.#options.connectionsMax) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      if (!next.socket.destroyed) this.#admit(next.socket, next.go);
    }
  }

  /** Nobody is waited for any more. */
  close(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { socket } of waiting) socket.destroy();
  }

  #admit(socket: Counted, go: (socket: Socket) => void): void {
    this.#admitted += 1;
    socket.isAdmitted = true;
    go(socket);
  }
}

function onClose(this: Counted): void {
  this.admission?.left(this);
}

function ignore(): void {
  // `close` follows
}
