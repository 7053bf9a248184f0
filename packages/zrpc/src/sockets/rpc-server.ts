import type { Logger } from "@pushpin/log";
import { decode, type TnetMap } from "@pushpin/tnetstrings";
import { ZmqSocket } from "@pushpin/zmq";
import {
  decodeRequest,
  encodeResponse,
  joinFrames,
  type RpcReply,
  splitFrame,
} from "../core/envelope.ts";

export type OnRequest = (
  method: string,
  args: TnetMap,
  from: string | undefined,
  reply: (result: RpcReply) => void,
) => void;

/** Answers over a ROUTER: the envelope goes back as it came. */
export class RpcServer {
  malformed = 0;
  readonly #onRequest: OnRequest;
  readonly #log: Logger;
  readonly #answersAll: boolean;
  #socket!: ZmqSocket;

  private constructor(onRequest: OnRequest, log: Logger, answersAll: boolean) {
    this.#onRequest = onRequest;
    this.#answersAll = answersAll;
    this.#log = log;
  }

  static async open(options: {
    readonly addr: { readonly specs: readonly string[]; readonly mode: "bind" | "connect" };
    readonly ipcFileMode?: number;
    readonly log: Logger;
    /** Tools ask over REQ sockets, often without an id, and wait: a request without one is answered too. */
    readonly answersAll?: boolean;
    /** Requests wait until `start()`, where others of the owner have yet to be opened. */
    readonly waitsForStart?: boolean;
    readonly onRequest: OnRequest;
  }): Promise<RpcServer> {
    const server = new RpcServer(
      options.onRequest,
      options.log,
      options.answersAll ?? false,
    );
    server.#socket = await ZmqSocket.open({
      type: "router",
      ...options.addr,
      ...(options.ipcFileMode === undefined ? {} : { ipcFileMode: options.ipcFileMode }),
      lingerMs: 500,
      isPaused: options.waitsForStart ?? false,
      log: options.log,
      onMessage: (frames) => server.#received(frames),
    });
    return server;
  }

  start(): void {
    this.#socket.resume();
  }

  close(): Promise<void> {
    return this.#socket.close();
  }

  #received(frames: Buffer[]): void {
    const frame = frames[frames.length - 1];
    if (frame === undefined || frames.length < 2) return;
    const envelope = frames.slice(0, -1);
    const requests = splitFrame(frame);
    if (requests.length === 1) {
      this.#request(requests[0] as Buffer, (answer) => this.#socket.send([...envelope, answer]));
      return;
    }
    // Whoever asks several things at once takes several answers at once; what takes longer comes by itself.
    let answers: Buffer[] | undefined = [];
    for (const one of requests)
      this.#request(one, (answer) => {
        if (answers === undefined) this.#socket.send([...envelope, answer]);
        else answers.push(answer);
      });
    if (answers.length > 0)
      this.#socket.send([...envelope, answers.length === 1 ? (answers[0] as Buffer) : joinFrames(answers)]);
    answers = undefined;
  }

  #request(frame: Buffer, send: (answer: Buffer) => void): void {
    const decoded = decodeRequest(frame);
    if (!decoded.ok) {
      this.malformed += 1;
      this.#log.warn("malformed request dropped", {
        error: decoded.error,
        dropped: this.malformed,
      });
      const map = decode(frame);
      const id = map.ok && map.value instanceof Map ? map.value.get("id") : undefined;
      if (typeof id === "string") send(encodeResponse(id, { success: false, condition: "bad-request" }));
      return;
    }
    const { id, method, args, from } = decoded.value;
    this.#onRequest(method, args, from, (reply) => {
      if (id !== undefined || this.#answersAll) send(encodeResponse(id, reply));
    });
  }
}
