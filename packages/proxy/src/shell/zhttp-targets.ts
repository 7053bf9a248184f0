import type { Logger } from "@pushpin/log";
import { detach } from "@pushpin/tnetstrings";
import { type Packet, decodePacket, encodePacket } from "@pushpin/zhttp";
import { InitiatorSockets } from "@pushpin/zhttp/sockets";
import { ZmqSocket } from "@pushpin/zmq";
import type { RouteTable, Target } from "../core/routes/route-table.ts";

/** Limit: distinct ZeroMQ services that routes may name. */
export const ZHTTP_TARGETS_MAX = 100;
/** A `zhttpreq` service has this long to answer. */
const REPLY_TIMEOUT_MS = 60_000;
/** Limit: questions to one `zhttpreq` service without an answer. */
const REPLIES_PENDING_MAX = 10_000;
const EMPTY = Buffer.alloc(0);

interface Service {
  readonly stream: InitiatorSockets | undefined;
  readonly request: ZmqSocket | undefined;
  readonly pending: Map<string, { done: (reply: Packet | undefined) => void; dueMs: number }>;
}

/** Sockets of the `zhttp` and `zhttpreq` targets of all routes, by address (proxy.md 2.9). */
export class ZhttpTargets {
  readonly #instanceId: string;
  readonly #log: Logger;
  readonly #onPacket: (packet: Packet) => void;
  readonly #services = new Map<string, Service>();
  #count = 0;
  #turn: Promise<void> = Promise.resolve();

  constructor(instanceId: string, log: Logger, onPacket: (packet: Packet) => void) {
    this.#instanceId = instanceId;
    this.#log = log;
    this.#onPacket = onPacket;
  }

  /** Binds what the routes name and is not bound yet; what they do not name any more is closed. */
  follow(routes: RouteTable): Promise<void> {
    const wanted = new Map<string, Target>();
    for (const route of routes.all())
      for (const target of route.targets)
        if (target.kind === "zhttp" || target.kind === "zhttpreq")
          wanted.set(target.label, target);
    this.#turn = this.#turn.then(() => this.#follow(wanted));
    return this.#turn;
  }

  isReachable(target: Target): boolean {
    return this.#services.get(target.label)?.stream?.isReachable ?? false;
  }

  has(stream: InitiatorSockets): boolean {
    for (const service of this.#services.values()) if (service.stream === stream) return true;
    return false;
  }

  stream(target: Target): InitiatorSockets | undefined {
    return this.#services.get(target.label)?.stream;
  }

  /** One packet, one answer; undefined if none came in time. */
  request(
    target: Target,
    packet: Packet,
    nowMs: number,
    done: (reply: Packet | undefined) => void,
  ): void {
    const service = this.#services.get(target.label);
    // Limit: REPLIES_PENDING_MAX
    if (service?.request === undefined || service.pending.size >= REPLIES_PENDING_MAX) {
      done(undefined);
      return;
    }
    this.#count += 1;
    packet.from = this.#instanceId;
    packet.id = this.#count.toString(36);
    service.pending.set(packet.id, { done, dueMs: nowMs + REPLY_TIMEOUT_MS });
    service.request.send([EMPTY, encodePacket(packet)]);
  }

  /** Gives up on answers that are overdue. */
  tick(nowMs: number): void {
    for (const { pending } of this.#services.values())
      for (const [id, { done, dueMs }] of pending) {
        if (dueMs > nowMs) break;
        pending.delete(id);
        done(undefined);
      }
  }

  async close(): Promise<void> {
    await this.#turn;
    await Promise.all([...this.#services.values()].map(closeService));
  }

  async #follow(wanted: ReadonlyMap<string, Target>): Promise<void> {
    for (const [label, service] of this.#services) {
      if (wanted.has(label)) continue;
      this.#services.delete(label);
      for (const { done } of service.pending.values()) done(undefined);
      await closeService(service);
    }
    for (const [label, target] of wanted) {
      if (this.#services.has(label)) continue;
      // Limit: ZHTTP_TARGETS_MAX
      if (this.#services.size >= ZHTTP_TARGETS_MAX) {
        this.#log.warn(`too many unique zhttp route targets, limiting to ${ZHTTP_TARGETS_MAX}`);
        return;
      }
      try {
        this.#services.set(label, await this.#open(target));
      } catch (error) {
        this.#log.error(`unable to bind to ${target.spec}`, { error: (error as Error).message });
      }
    }
  }

  async #open(target: Target): Promise<Service> {
    const log = this.#log;
    const mode = target.ipcFileMode === undefined ? {} : { ipcFileMode: target.ipcFileMode };
    const pending: Service["pending"] = new Map();
    if (target.kind === "zhttpreq") {
      const request = await ZmqSocket.open({
        type: "dealer",
        specs: [target.spec],
        mode: "bind",
        ...mode,
        log,
        onMessage: (frames) => this.#replied(pending, frames[frames.length - 1]),
      });
      return { stream: undefined, request, pending };
    }
    const [out, outStream, back] = specsOf(target.spec);
    const address = (spec: string) => ({ specs: [spec], mode: "bind" as const });
    const stream = await InitiatorSockets.open({
      instanceId: this.#instanceId,
      push: address(out),
      stream: address(outStream),
      sub: address(back),
      ...mode,
      log,
      onPacket: this.#onPacket,
    });
    return { stream, request: undefined, pending };
  }

  #replied(pending: Service["pending"], frame: Buffer | undefined): void {
    if (frame === undefined) return;
    const reply = decodePacket(frame);
    if (!reply.ok) {
      this.#log.warn("malformed packet dropped", { error: reply.error });
      return;
    }
    const id = detach(reply.value.id);
    const asked = pending.get(id);
    pending.delete(id);
    asked?.done(reply.value);
  }
}

async function closeService({ stream, request }: Service): Promise<void> {
  await Promise.all([stream?.close(), request?.close()]);
}

/** Requests, continuations, answers: three ports in a row, or three names. */
function specsOf(spec: string): [string, string, string] {
  const tcp = /^(tcp:\/\/.*):(\d+)$/.exec(spec);
  if (tcp === null) return [`${spec}-out`, `${spec}-out-stream`, `${spec}-in`];
  const port = Number(tcp[2]);
  return [spec, `${tcp[1]}:${port + 1}`, `${tcp[1]}:${port + 2}`];
}
