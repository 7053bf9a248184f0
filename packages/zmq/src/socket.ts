import { isAscii } from "node:buffer";
import { chmod, mkdir } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "@pushpin/log";
import {
  Dealer,
  type Socket as NativeSocket,
  Publisher,
  Pull,
  Push,
  Router,
  Subscriber,
  XPublisher,
} from "zeromq";

export type SocketType = "push" | "pull" | "router" | "dealer" | "pub" | "xpub" | "sub";

/** One ZeroMQ message: its parts in order. */
export type Frames = Uint8Array | Uint8Array[];

export interface SocketOptions {
  readonly type: SocketType;
  /** `ipc://path` or `tcp://host:port`. Where the socket binds, only the first counts. */
  readonly specs: readonly string[];
  readonly mode: "bind" | "connect";
  readonly log: Logger;
  /** ROUTER and DEALER: what peers address. */
  readonly identity?: string;
  /** Messages per peer. Default 101,000: application credits bound what is really in flight. */
  readonly sendHwm?: number;
  readonly receiveHwm?: number;
  readonly lingerMs?: number;
  /** Connecting sockets: queue nothing for a peer that is not connected. */
  readonly immediate?: boolean;
  /** Mode of bound ipc files; absent: the umask decides. */
  readonly ipcFileMode?: number;
  /** SUB: byte-string prefixes subscribed from the start. */
  readonly subscribe?: readonly string[];
  readonly tcpKeepAlive?: boolean;
  /** PUSH and DEALER: messages that wait while no peer takes any. Default `OVERFLOW_MAX`. */
  readonly overflowMax?: number;
  /** Nothing is delivered before `resume()`; what arrives waits. */
  readonly isPaused?: boolean;
  readonly onMessage?: (frames: Buffer[]) => void;
  /** XPUB: a peer's subscription came or went. */
  readonly onSubscription?: (topic: string, present: boolean) => void;
  /** Connecting sockets: how many of the peers are connected, told at every change. */
  readonly onPeers?: (count: number) => void;
  /** A peer that was connected is gone. */
  readonly onDisconnect?: () => void;
  /** ROUTER: nobody has the identity of the first part. */
  readonly onUnroutable?: (frames: Uint8Array[]) => void;
}

export const DEFAULT_HWM = 101_000;
/** Limit: messages waiting in a PUSH or DEALER without peers; the newest is dropped and counted. */
export const OVERFLOW_MAX = 100_000;
const OVERFLOW_RETRY_MS = 5;
const RECONNECT_INTERVAL_MS = 20;
/** Receives settle without a turn of the event loop, so a busy socket would starve all others. */
const RECEIVE_BUDGET_MESSAGES = 256;
const RECEIVE_BUDGET_MS = 2;

/** A socket is closed by a thread of ZeroMQ, a moment after its owner did: so often, and so far apart, its path is looked at. */
const IN_USE_LOOKS = 5;
const IN_USE_LOOK_MS = 20;

/** The binding copies buffers up to this, and lends longer ones to ZeroMQ. */
const LENT_OVER_BYTES = 128;
/** A text costs more than a buffer where it is longer: it is copied as UTF-8, a character at a time. */
const TEXT_MAX_BYTES = 2048;

interface Sending {
  send(frames: string | Frames | (string | Uint8Array)[]): Promise<void>;
}

interface Receiving {
  [Symbol.asyncIterator](): AsyncIterator<Buffer[]>;
}

/**
 * A ZeroMQ socket that never blocks and never throws on send: what cannot be sent now waits in a
 * bounded queue (PUSH, DEALER) or is dropped and counted (ROUTER, PUB).
 */
export class ZmqSocket {
  /** Messages given up: queue full, peer unknown or too far behind. */
  dropped = 0;
  readonly #native: NativeSocket;
  readonly #options: SocketOptions;
  #overflow: Frames[] = [];
  #retryTimer: NodeJS.Timeout | undefined;
  #closed = false;
  #paused: { resume: () => void; until: Promise<void> } | undefined;
  #received: Promise<void> | undefined;
  readonly #opened: Promise<void>;
  #letIn: () => void = () => {};

  private constructor(native: NativeSocket, options: SocketOptions) {
    this.#native = native;
    this.#options = options;
    this.#opened = new Promise((resolve) => {
      this.#letIn = resolve;
    });
  }

  /**
   * Binds or connects; rejects with a sentence that names the endpoint if that fails. Nothing is delivered
   * in the same turn of the event loop: whoever opens it has it by then, and can answer.
   */
  static async open(options: SocketOptions): Promise<ZmqSocket> {
    const native = createNative(options);
    const socket = new ZmqSocket(native, options);
    if (options.isPaused) socket.pause();
    const isReceiving = options.onMessage !== undefined || options.onSubscription !== undefined;
    const receive = () => {
      if (isReceiving) socket.#received = socket.#receive(native as unknown as Receiving);
    };
    if (options.onPeers !== undefined) countPeers(native, options.onPeers);
    const { onDisconnect } = options;
    if (onDisconnect !== undefined) native.events.on("disconnect", () => onDisconnect());
    try {
      if (options.mode === "connect") {
        for (const spec of options.specs) native.connect(spec);
        // Not before: a connect takes note of what has come from the one before it, and tells nobody.
        receive();
      } else {
        // Before any peer can come: a bound SUB otherwise sleeps through its coming, and never tells it
        // what it wants.
        receive();
        for (const spec of options.specs.slice(0, 1)) await bind(native, spec, options.ipcFileMode);
      }
    } catch (error) {
      socket.#closed = true;
      native.close();
      throw error;
    }
    setImmediate(socket.#letIn);
    return socket;
  }

  get overflowLength(): number {
    return this.#overflow.length;
  }

  /** PUSH and DEALER: whether a message would go to a peer now. */
  get isWritable(): boolean {
    if (this.#closed || this.#overflow.length > 0) return false;
    return (this.#native as unknown as { writable: boolean }).writable;
  }

  /** Sends one message. Never blocks; the buffers belong to ZeroMQ from now on. */
  send(frames: Frames): void {
    if (this.#closed) return;
    if (this.#overflow.length > 0) {
      this.#keep(frames);
      return;
    }
    (this.#native as unknown as Sending)
      .send(asText(frames))
      .catch((error: unknown) => this.#notSent(frames, error));
  }

  /** As `send`, for ROUTER: resolves with whether somebody has that identity, and reports nothing. */
  async sendIfRoutable(frames: Frames): Promise<boolean> {
    if (this.#closed) return false;
    try {
      await (this.#native as unknown as Sending).send(frames);
      return true;
    } catch {
      return false;
    }
  }

  /** SUB. A closed socket wants nothing any more, so both of these may come late. */
  subscribe(topic: string): void {
    if (this.#closed) return;
    (this.#native as Subscriber).subscribe(Buffer.from(topic, "latin1"));
  }

  unsubscribe(topic: string): void {
    if (this.#closed) return;
    (this.#native as Subscriber).unsubscribe(Buffer.from(topic, "latin1"));
  }

  /** Stops reading; what arrives waits in ZeroMQ and then at the sender. */
  pause(): void {
    if (this.#paused !== undefined || this.#closed) return;
    let resume = () => {};
    const until = new Promise<void>((resolve) => {
      resume = resolve;
    });
    this.#paused = { resume, until };
  }

  resume(): void {
    this.#paused?.resume();
    this.#paused = undefined;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#letIn();
    this.resume();
    clearTimeout(this.#retryTimer);
    this.#native.close();
    await this.#received;
  }

  #notSent(frames: Frames, error: unknown): void {
    if (this.#closed) return;
    const code = (error as { code?: string }).code;
    if (this.#options.type === "router") {
      this.dropped += 1;
      if (code === "EHOSTUNREACH")
        this.#options.onUnroutable?.(Array.isArray(frames) ? frames : [frames]);
      else this.#options.log.warn("peer too far behind, packet dropped", { code });
      return;
    }
    this.#keep(frames);
  }

  #keep(frames: Frames): void {
    // Limit: OVERFLOW_MAX
    if (this.#overflow.length >= (this.#options.overflowMax ?? OVERFLOW_MAX)) {
      this.dropped += 1;
      if (this.dropped % 1000 === 1)
        this.#options.log.warn("no peer takes messages, dropped", {
          spec: this.#options.specs[0],
          dropped: this.dropped,
        });
      return;
    }
    this.#overflow.push(frames);
    this.#retryTimer ??= setTimeout(() => this.#retry(), OVERFLOW_RETRY_MS);
  }

  #retry(): void {
    this.#retryTimer = undefined;
    if (this.#closed || this.#overflow.length === 0) return;
    if (!(this.#native as unknown as { writable: boolean }).writable) {
      this.#retryTimer = setTimeout(() => this.#retry(), OVERFLOW_RETRY_MS);
      return;
    }
    const waiting = this.#overflow;
    this.#overflow = [];
    for (const frames of waiting) this.send(frames);
  }

  async #receive(native: Receiving): Promise<void> {
    const { onMessage, onSubscription, log } = this.#options;
    let left = RECEIVE_BUDGET_MESSAGES;
    let startedMs = performance.now();
    let isOpen = false;
    try {
      for await (const frames of native) {
        if (!isOpen) await this.#opened;
        isOpen = true;
        if (this.#paused !== undefined) await this.#paused.until;
        if (this.#closed) return;
        try {
          if (onSubscription !== undefined) noteSubscription(frames, onSubscription);
          else onMessage?.(frames);
        } catch (error) {
          // A bug of ours must not end the receive loop unseen: it ends the process, as any other.
          queueMicrotask(() => {
            throw error;
          });
        }
        left -= 1;
        if (left === 0 || (left % 16 === 0 && performance.now() - startedMs > RECEIVE_BUDGET_MS)) {
          await new Promise((resolve) => setImmediate(resolve));
          left = RECEIVE_BUDGET_MESSAGES;
          startedMs = performance.now();
        }
      }
    } catch (error) {
      if (!this.#closed)
        log.error("receiving ended", { spec: this.#options.specs[0], error: String(error) });
    }
  }
}

/**
 * The same message with parts of some hundred bytes as texts, where all of them are ASCII. A lent
 * buffer is given back when it has been written: for that ZeroMQ's thread wakes ours once more, before it writes.
 * A text the binding copies, and nobody is woken.
 */
function asText(frames: Frames): string | Frames | (string | Uint8Array)[] {
  if (!Array.isArray(frames)) return textOf(frames);
  let texts: (string | Uint8Array)[] | undefined;
  for (let i = 0; i < frames.length; i += 1) {
    const part = frames[i] as Uint8Array;
    const text = textOf(part);
    if (text !== part) (texts ??= [...frames])[i] = text;
  }
  return texts ?? frames;
}

function textOf(part: Uint8Array): string | Uint8Array {
  const { length } = part;
  if (length <= LENT_OVER_BYTES || length > TEXT_MAX_BYTES || !Buffer.isBuffer(part)) return part;
  return isAscii(part) ? part.toString("latin1") : part;
}

function countPeers(native: NativeSocket, tell: (count: number) => void): void {
  // By address: connections that end before their handshake are told as ends, too.
  const connected = new Set<string>();
  native.events.on("handshake", ({ address }) => tell(connected.add(address).size));
  native.events.on("disconnect", ({ address }) => {
    if (connected.delete(address)) tell(connected.size);
  });
}

function noteSubscription(
  frames: Buffer[],
  onSubscription: (topic: string, present: boolean) => void,
) {
  const frame = frames[0];
  if (frame === undefined || frame.length === 0) return;
  onSubscription(frame.toString("latin1", 1), frame[0] === 1);
}

async function bind(native: NativeSocket, spec: string, mode: number | undefined): Promise<void> {
  const path = spec.startsWith("ipc://") ? spec.slice("ipc://".length) : undefined;
  try {
    if (path !== undefined) {
      await mkdir(dirname(path), { recursive: true });
      // ZeroMQ would take the file away from whoever listens there, and leave it deaf.
      if (await isInUse(path)) throw new Error("Address already in use by another process");
    }
    // At once: while the binding binds in a thread of its own, a receive fails, and what has been received by
    // then, from a peer that was waiting for us, would be the last.
    native.bindSync(spec);
    if (path !== undefined && mode !== undefined) await chmod(path, mode);
  } catch (error) {
    throw new Error(`unable to bind to ${spec}: ${(error as Error).message}`, { cause: error });
  }
}

/** Whether somebody listens at a Unix socket, and goes on doing so. */
async function isInUse(path: string): Promise<boolean> {
  for (let look = 1; await isListening(path); look += 1) {
    if (look === IN_USE_LOOKS) return true;
    await delay(IN_USE_LOOK_MS);
  }
  return false;
}

/** Whether anybody listens at a Unix socket; a file that was left by a process that is gone does not count. */
function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const settle = (is: boolean) => {
      probe.destroy();
      resolve(is);
    };
    probe.once("connect", () => settle(true));
    // EAGAIN: its backlog is full.
    probe.once("error", (error: NodeJS.ErrnoException) => settle(error.code === "EAGAIN"));
  });
}

function createNative(options: SocketOptions): NativeSocket {
  const common = {
    linger: options.lingerMs ?? 0,
    reconnectInterval: RECONNECT_INTERVAL_MS,
    ...(options.tcpKeepAlive
      ? { tcpKeepalive: 1, tcpKeepaliveIdle: 30, tcpKeepaliveCount: 6, tcpKeepaliveInterval: 5 }
      : {}),
  };
  const sending = {
    sendHighWaterMark: options.sendHwm ?? DEFAULT_HWM,
    sendTimeout: 0,
    ...(options.immediate ? { immediate: true } : {}),
  };
  const receiving = { receiveHighWaterMark: options.receiveHwm ?? DEFAULT_HWM };
  const identity = options.identity === undefined ? {} : { routingId: options.identity };
  switch (options.type) {
    case "push":
      return new Push({ ...common, ...sending });
    case "pull":
      return new Pull({ ...common, ...receiving });
    case "router":
      return new Router({ ...common, ...sending, ...receiving, ...identity, mandatory: true });
    case "dealer":
      return new Dealer({ ...common, ...sending, ...receiving, ...identity });
    case "pub":
      return new Publisher({ ...common, ...sending });
    case "xpub":
      return new XPublisher({ ...common, ...sending, ...receiving });
    case "sub": {
      const socket = new Subscriber({ ...common, ...receiving });
      for (const topic of options.subscribe ?? []) socket.subscribe(Buffer.from(topic, "latin1"));
      return socket;
    }
  }
}
