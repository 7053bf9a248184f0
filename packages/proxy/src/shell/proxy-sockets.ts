import type { Endpoints, ProxySettings } from "@pushpin/config";
import type { Logger } from "@pushpin/log";
import type { TnetMap } from "@pushpin/tnetstrings";
import { Gathering, InitiatorSockets, ResponderSockets } from "@pushpin/zhttp/sockets";
import { ZmqSocket } from "@pushpin/zmq";
import type { RpcReply } from "@pushpin/zrpc";
import { RpcClient, RpcServer } from "@pushpin/zrpc/sockets";
import type { Engine, EngineSockets } from "./engine.ts";
import { ZhttpTargets } from "./zhttp-targets.ts";

/** The handler has this long to answer. */
const HANDLER_TIMEOUT_MS = 8000;
const EMPTY = Buffer.alloc(0);

export interface ProxySocketsOptions {
  readonly instanceId: string;
  readonly endpoints: Endpoints;
  readonly settings: ProxySettings;
  /** Where the workers of the proxy take what comes back, by slot; none: there is one only. */
  readonly siblings: readonly string[];
  readonly batchFrames: boolean;
  readonly log: Logger;
  readonly engine: Engine;
}

/** Every ZeroMQ socket of the proxy but those of route targets (wire.md 2). */
export class ProxySockets implements EngineSockets {
  readonly clients: ResponderSockets;
  readonly backends: InitiatorSockets;
  readonly internal: ResponderSockets | undefined;
  readonly zhttpTargets: ZhttpTargets;
  readonly inspectCalls: RpcClient;
  readonly acceptCalls: RpcClient;
  readonly #controlInit: ZmqSocket;
  readonly #controlStream: ZmqSocket;
  /** By slot; none where this worker is the only one. */
  readonly #siblings: readonly ZmqSocket[];
  readonly #gathering: Gathering;
  readonly #start: () => void;
  readonly #all: readonly { close(): Promise<void> }[];

  private constructor(
    parts: Omit<EngineSockets, "controlInit" | "controlStream" | "toSibling">,
    controlInit: ZmqSocket,
    controlStream: ZmqSocket,
    siblings: readonly ZmqSocket[],
    others: readonly { close(): Promise<void> }[],
    gathering: Gathering,
    start: () => void,
  ) {
    this.clients = parts.clients;
    this.backends = parts.backends;
    this.internal = parts.internal;
    this.zhttpTargets = parts.zhttpTargets;
    this.inspectCalls = parts.inspectCalls;
    this.acceptCalls = parts.acceptCalls;
    this.#controlInit = controlInit;
    this.#controlStream = controlStream;
    this.#siblings = siblings;
    this.#all = others;
    this.#gathering = gathering;
    this.#start = start;
  }

  /** Binds what the handler connects to, then connects to the others; nothing is taken before `start()`. */
  static async open(options: ProxySocketsOptions): Promise<ProxySockets> {
    const { instanceId, endpoints, settings, log, engine } = options;
    const mode = settings.ipc_file_mode;
    const shared = { log, ...(mode === undefined ? {} : { ipcFileMode: mode }) };
    const bind = (specs: readonly string[]) => ({ specs, mode: "bind" as const });
    const connect = (specs: readonly string[]) => ({ specs, mode: "connect" as const });
    const call = (specs: readonly string[]) =>
      RpcClient.open({
        ...shared,
        addr: bind(specs),
        timeoutMs: HANDLER_TIMEOUT_MS,
        batches: options.batchFrames,
      });
    const others: { close(): Promise<void> }[] = [];
    let opened: ProxySockets | undefined;
    const inspectCalls = await call(endpoints.inspect);
    const acceptCalls = await call(endpoints.accept);
    const router = (specs: readonly string[], take: (frame: Buffer) => void) =>
      ZmqSocket.open({
        ...shared,
        type: "router",
        ...bind(specs),
        identity: instanceId,
        lingerMs: 500,
        isPaused: true,
        onMessage: (frames) => take(frames[frames.length - 1] as Buffer),
      });
    const retry = await router(endpoints.retry, (frame) => engine.retry(frame));
    const controlStream = await router(endpoints.wsControlStream, (frame) =>
      engine.controlPacket(frame),
    );
    const controlInit = await ZmqSocket.open({
      ...shared,
      type: "push",
      ...bind(endpoints.wsControlInit),
    });
    let commands: RpcServer | undefined;
    if (endpoints.proxyCommand.length > 0)
      commands = await RpcServer.open({
        ...shared,
        addr: bind(endpoints.proxyCommand),
        answersAll: true,
        waitsForStart: true,
        onRequest: (method, args, _from, reply) =>
          reply(runCommand(engine, () => opened?.links(), method, args)),
      });
    const siblings: ZmqSocket[] = [];
    for (const spec of options.siblings)
      siblings.push(
        await ZmqSocket.open({ ...shared, type: "dealer", ...connect([spec]), onMessage: () => {} }),
      );
    others.push(...siblings);
    let internal: ResponderSockets | undefined;
    if (endpoints.intreqIn.length > 0)
      internal = await ResponderSockets.open({
        ...shared,
        instanceId,
        waitsForStart: true,
        batchFrames: options.batchFrames,
        pull: bind(endpoints.intreqIn),
        stream: bind(endpoints.intreqInStream),
        pub: bind(endpoints.intreqOut),
        onFirst: (packet) => engine.firstInternal(packet),
        onPacket: (packet) => engine.packet(packet),
        onHandedOver: (handler) => engine.handlerStarted(handler),
      });
    const zhttpTargets = new ZhttpTargets(instanceId, log, (packet) => engine.packet(packet));
    const backends = await InitiatorSockets.open({
      instanceId,
      waitsForStart: true,
      push: connect(endpoints.clientOut),
      stream: connect(endpoints.clientOutStream),
      sub: connect(endpoints.clientIn),
      batchFirst: options.batchFrames,
      batchFrames: options.batchFrames,
      log,
      onPacket: (packet) => engine.packet(packet),
      onTakeover: (client) => engine.httpClientStarted(client),
    });
    const gathering = new Gathering();
    const clients = await ResponderSockets.open({
      instanceId,
      waitsForStart: true,
      gathering,
      batchFrames: options.batchFrames,
      pull: connect(endpoints.connmgrIn),
      stream: connect(endpoints.connmgrInStream),
      pub: connect(endpoints.connmgrOut),
      log,
      onFirst: (packet) => engine.first(packet),
      onPacket: (packet) => engine.packet(packet),
    });
    others.push(clients, backends, inspectCalls, acceptCalls, controlInit, controlStream);
    others.push(zhttpTargets, retry);
    if (internal !== undefined) others.push(internal);
    if (commands !== undefined) others.push(commands);
    opened = new ProxySockets(
      { clients, backends, internal, zhttpTargets, inspectCalls, acceptCalls },
      controlInit,
      controlStream,
      siblings,
      others,
      gathering,
      () => {
        for (const one of [retry, controlStream]) one.resume();
        for (const one of [commands, internal, backends, clients]) one?.start();
      },
    );
    return opened;
  }

  /** Everything is open that is needed to deal with what comes: it is taken from now on. */
  start(): void {
    this.#start();
  }

  /** How many processes there are at the other ends. */
  links(): ProxyLinks {
    return { clients: this.clients.initiators, backends: this.backends.responders };
  }

  toSibling(slot: number, frame: Buffer): void {
    this.#siblings[slot]?.send([EMPTY, frame]);
  }

  /** Everything is open: what the processes before us have left is welcome. */
  announce(): void {
    this.clients.announce();
    this.internal?.announce();
  }

  /** Resolves when the connection managers have handed over what the proxy before us has left. */
  async gathered(): Promise<void> {
    await this.#gathering.over();
  }

  controlInit(frame: Buffer): void {
    this.#controlInit.send(frame);
  }

  controlStream(to: string, frame: Buffer): void {
    this.#controlStream.send([Buffer.from(to, "latin1"), EMPTY, frame]);
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((one) => one.close()));
  }
}

/** Connection managers and HTTP clients that are connected. */
interface ProxyLinks {
  readonly clients: number;
  readonly backends: number;
}

/** Methods of the command socket (proxy.md 7.3); `health` is ours, for the handler's `/readyz`. */
function runCommand(
  engine: Engine,
  links: () => ProxyLinks | undefined,
  method: string,
  args: TnetMap,
): RpcReply {
  switch (method) {
    case "health":
      return { success: true, value: { ...(links() ?? { clients: 0, backends: 0 }) } };
    case "conncheck": {
      const ids = args.get("ids");
      if (!Array.isArray(ids) || !ids.every((one) => typeof one === "string"))
        return { success: false, condition: "bad-format" };
      return { success: true, value: ids.filter((one) => engine.knows(one as string)) };
    }
    case "refresh": {
      const cid = args.get("cid");
      if (typeof cid !== "string") return { success: false, condition: "bad-format" };
      if (engine.refresh(cid)) return { success: true, value: null };
      return { success: false, condition: "item-not-found" };
    }
    default:
      return { success: false, condition: "method-not-found" };
  }
}
