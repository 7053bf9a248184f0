import { randomUUID } from "node:crypto";
import type { Logger } from "@pushpin/log";
import type { TnetInput } from "@pushpin/tnetstrings";
import { TurnLoad } from "@pushpin/zhttp/sockets";
import { ZmqSocket } from "@pushpin/zmq";
import {
  decodeResponse,
  encodeRequest,
  joinFrames,
  RPC_BATCH_MAX,
  type RpcResult,
  splitFrame,
} from "../core/envelope.ts";

/** Limit: calls without an answer on one socket; more fail at once. */
export const PENDING_CALLS_MAX = 10_000;
const EMPTY = Buffer.alloc(0);

interface Pending {
  readonly frame: Buffer;
  readonly done: (result: RpcResult) => void;
  readonly timer: NodeJS.Timeout;
}

/** Asks over a DEALER; answers come in any order and are matched by id. */
export class RpcClient {
  readonly #pending = new Map<string, Pending>();
  readonly #timeoutMs: number;
  readonly #log: Logger;
  readonly #batches: boolean;
  /** Asked in this turn of the event loop, and not sent yet. */
  readonly #waiting: Buffer[] = [];
  readonly #load = new TurnLoad();
  #socket!: ZmqSocket;

  private constructor(timeoutMs: number, log: Logger, batches: boolean) {
    this.#timeoutMs = timeoutMs;
    this.#log = log;
    this.#batches = batches;
  }

  static async open(options: {
    readonly addr: { readonly specs: readonly string[]; readonly mode: "bind" | "connect" };
    readonly timeoutMs: number;
    readonly ipcFileMode?: number;
    readonly log: Logger;
    /** The other end is ours: what is asked in one turn of the event loop goes out in one frame. */
    readonly batches?: boolean;
  }): Promise<RpcClient> {
    const client = new RpcClient(options.timeoutMs, options.log, options.batches ?? false);
    client.#socket = await ZmqSocket.open({
      type: "dealer",
      ...options.addr,
      ...(options.ipcFileMode === undefined ? {} : { ipcFileMode: options.ipcFileMode }),
      log: options.log,
      onMessage: (frames) => client.#received(frames[frames.length - 1]),
    });
    return client;
  }

  call(method: string, args: TnetInput, from?: string): Promise<RpcResult> {
    return new Promise((resolve) => this.callLater(method, args, resolve, from));
  }

  callLater(
    method: string,
    args: TnetInput,
    done: (result: RpcResult) => void,
    from?: string,
  ): void {
    // Limit: PENDING_CALLS_MAX. Calls that nobody takes yet wait in the socket: the peer may be starting.
    if (this.#pending.size >= PENDING_CALLS_MAX) {
      queueMicrotask(() => done({ success: false, condition: "service-unavailable" }));
      return;
    }
    const id = randomUUID();
    const timer = setTimeout(() => {
      this.#pending.delete(id);
      done({ success: false, condition: "timeout" });
    }, this.#timeoutMs);
    const frame = encodeRequest({ id, method, args, ...(from === undefined ? {} : { from }) });
    this.#pending.set(id, { frame, done, timer });
    if (this.#batches) this.#gather(frame);
    else this.#socket.send([EMPTY, frame]);
  }

  /** Whoever was asked is gone, somebody else has come: asks again what was not answered. */
  askAgain(): void {
    this.#waiting.length = 0; // all of them are among those
    for (const { frame } of this.#pending.values()) this.#socket.send([EMPTY, frame]);
  }

  async close(): Promise<void> {
    for (const { timer } of this.#pending.values()) clearTimeout(timer);
    this.#pending.clear();
    await this.#socket.close();
  }

  #gather(frame: Buffer): void {
    if (this.#load.isEmpty) setImmediate(this.#endTurn);
    this.#load.add();
    this.#waiting.push(frame);
    // Limit: RPC_BATCH_MAX
    if (this.#load.isAlone || this.#waiting.length >= RPC_BATCH_MAX) this.#flush();
  }

  readonly #endTurn = (): void => {
    this.#load.endTurn();
    this.#flush();
  };

  #flush(): void {
    const [first, second] = this.#waiting;
    if (first === undefined) return;
    this.#socket.send([EMPTY, second === undefined ? first : joinFrames(this.#waiting)]);
    this.#waiting.length = 0;
  }

  #received(frame: Buffer | undefined): void {
    if (frame === undefined) return;
    for (const one of splitFrame(frame)) this.#answered(one);
  }

  #answered(frame: Buffer): void {
    const decoded = decodeResponse(frame);
    if (!decoded.ok) {
      this.#log.warn("malformed answer dropped", { error: decoded.error });
      return;
    }
    const pending = this.#pending.get(decoded.value.id);
    if (pending === undefined) return;
    this.#pending.delete(decoded.value.id);
    clearTimeout(pending.timer);
    pending.done(decoded.value.result);
  }
}
