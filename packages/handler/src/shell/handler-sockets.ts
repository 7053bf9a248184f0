import type { Endpoints, HandlerSettings } from "@pushpin/config";
import type { Logger } from "@pushpin/log";
import { decode } from "@pushpin/tnetstrings";
import type { Packet } from "@pushpin/zhttp";
import { Gathering, InitiatorSockets, ResponderSockets } from "@pushpin/zhttp/sockets";
import { ZmqSocket } from "@pushpin/zmq";
import { type ControlPacket, decodeControlPacket } from "@pushpin/zrpc";
import { type OnRequest, RpcClient, RpcServer } from "@pushpin/zrpc/sockets";
import { ControlSender } from "./control-sender.ts";

export interface HandlerSocketEvents {
  onClientPacket(packet: Packet): void;
  onRequestPacket(packet: Packet): void;
  onWsControl(packet: ControlPacket): void;
  readonly onInspect: OnRequest;
  readonly onAccept: OnRequest;
  readonly onCommand: OnRequest;
  onPull(frames: Buffer[]): void;
  onPublished(frames: Buffer[]): void;
  onProxyStats(frame: Buffer): void;
  onRetryUnroutable(frames: Uint8Array[]): void;
  onProxyStarted(proxy: string): void;
  /** A connection manager has handed over all clients of the handler before us. */
  onHandedOver(connmgr: string, ids: readonly string[]): void;
  /** A connection manager has got everything it was sent before the question `number`. */
  onSynced(connmgr: string, number: number): void;
  onConnmgrGone(connmgr: string): void;
  /** Nothing reaches this proxy any more. */
  onProxyGone(proxy: string): void;
}

const PROXY_COMMAND_TIMEOUT_MS = 10_000;
const STORE_TIMEOUT_MS = 1000;
const WAITING_HWM = 100;
const EMPTY = Buffer.alloc(0);

/** Every ZeroMQ socket of the handler (handler.md 1.2). */
export class HandlerSockets {
  clients!: ResponderSockets;
  requests!: InitiatorSockets;
  retry!: ZmqSocket;
  /** One for each worker of the proxy. */
  proxyCommands: readonly RpcClient[] = [];
  /** Connection managers and proxies that may have clients of the handler before us. */
  readonly gathering = new Gathering();
  /** Absent without `state_spec`. */
  store: RpcClient | undefined;
  readonly #batchFrames: boolean;
  #wsControl!: ZmqSocket;
  #control!: ControlSender;
  #sub: ZmqSocket | undefined;
  #proxyStats: ZmqSocket | undefined;
  #openPull!: () => Promise<ZmqSocket[]>;
  /** What is taken from `start()` on. */
  readonly #doors: { start(): void }[] = [];
  readonly #all: { close(): Promise<void> }[] = [];

  constructor(batchFrames: boolean) {
    this.#batchFrames = batchFrames;
  }

  /** Nothing is taken before `start()`: what is heard on one socket may be answered on another. */
  async open(
    instanceId: string,
    addresses: Endpoints,
    settings: HandlerSettings,
    log: Logger,
    events: HandlerSocketEvents,
  ): Promise<void> {
    const mode = settings.ipc_file_mode;
    const shared = {
      log,
      ...(mode === undefined ? {} : { ipcFileMode: mode }),
    };
    const others = this.#all;
    const received = (socket: ZmqSocket): ZmqSocket => {
      this.#doors.push({ start: () => socket.resume() });
      return socket;
    };
    this.clients = await ResponderSockets.open({
      ...shared,
      instanceId,
      waitsForStart: true,
      batchFrames: this.#batchFrames,
      stream: connect(addresses.connmgrInStream),
      pub: connect(addresses.connmgrOut),
      onFirst: () => {},
      onPacket: (packet) => events.onClientPacket(packet),
      gathering: this.gathering,
      onHandedOver: (connmgr, ids) => events.onHandedOver(connmgr, ids),
      onSynced: (connmgr, number) => events.onSynced(connmgr, number),
      onPeer: (connmgr, isThere) => {
        if (!isThere) events.onConnmgrGone(connmgr);
      },
    });
    this.gathering.addPlaces(addresses.intreqInStream.length);
    this.requests = await InitiatorSockets.open({
      ...shared,
      instanceId,
      waitsForStart: true,
      batchFrames: this.#batchFrames,
      push: connect(addresses.intreqIn),
      stream: connect(addresses.intreqInStream),
      sub: connect(addresses.intreqOut),
      pushHwm: WAITING_HWM,
      onPacket: (packet) => events.onRequestPacket(packet),
      onTakeover: (proxy) => events.onProxyStarted(proxy),
    });
    this.retry = await ZmqSocket.open({
      ...shared,
      type: "router",
      ...connect(addresses.retry),
      identity: instanceId,
      immediate: true,
      lingerMs: 500,
      onMessage: () => {},
      onUnroutable: (frames) => events.onRetryUnroutable(frames),
    });
    const onControl = (frames: Buffer[]) => {
      const frame = frames[frames.length - 1];
      if (frame === undefined) return;
      const value = decode(frame);
      const packet = value.ok ? decodeControlPacket(value.value) : value;
      if (packet.ok) events.onWsControl(packet.value);
      else
        log.warn("malformed ws-control packet dropped", {
          error: packet.error,
        });
    };
    const routed = (to: string, frame: Buffer) => [Buffer.from(to, "latin1"), EMPTY, frame];
    this.#control = new ControlSender({
      log,
      send: (to, frame) => this.#wsControl.send(routed(to, frame)),
      sendIfRoutable: (to, frame) => this.#wsControl.sendIfRoutable(routed(to, frame)),
      onGone: (proxy) => events.onProxyGone(proxy),
    });
    this.#wsControl = received(
      await ZmqSocket.open({
        ...shared,
        type: "router",
        ...connect(addresses.wsControlStream),
        identity: instanceId,
        immediate: true,
        lingerMs: 500,
        isPaused: true,
        onMessage: onControl,
        onUnroutable: ([proxy, , frame]) => {
          if (proxy === undefined || frame === undefined) return;
          this.#control.unroutable(Buffer.from(proxy).toString("latin1"), Buffer.from(frame));
        },
      }),
    );
    others.push(
      received(
        await ZmqSocket.open({
          ...shared,
          type: "pull",
          ...connect(addresses.wsControlInit),
          isPaused: true,
          onMessage: onControl,
        }),
      ),
    );
    const rpc = async (specs: readonly string[], onRequest: OnRequest) => {
      if (specs.length === 0)
        throw new Error("handler needs proxy_inspect_specs and proxy_accept_specs");
      const server = await RpcServer.open({
        ...shared,
        addr: connect(specs),
        waitsForStart: true,
        onRequest,
      });
      this.#doors.push(server);
      others.push(server);
    };
    await rpc(addresses.inspect, events.onInspect);
    await rpc(addresses.accept, events.onAccept);
    if (addresses.proxyStats.length > 0) {
      this.#proxyStats = await ZmqSocket.open({
        ...shared,
        type: "sub",
        ...connect(addresses.proxyStats),
        // What is only passed on is subscribed when somebody wants it.
        subscribe: ["activity ", "counts ", "report "],
        onMessage: ([frame]) => {
          if (frame !== undefined) events.onProxyStats(frame);
        },
      });
      others.push(this.#proxyStats);
    }
    const proxyCommands: RpcClient[] = [];
    for (const spec of addresses.proxyCommand)
      proxyCommands.push(
        await RpcClient.open({
          ...shared,
          addr: connect([spec]),
          timeoutMs: PROXY_COMMAND_TIMEOUT_MS,
        }),
      );
    this.proxyCommands = proxyCommands;
    if (settings.state_spec.length > 0) {
      this.store = await RpcClient.open({
        ...shared,
        addr: { specs: settings.state_spec, mode: "bind" },
        timeoutMs: STORE_TIMEOUT_MS,
      });
      others.push(this.store);
    }
    others.push(this.clients, this.requests, this.retry, this.#wsControl, ...proxyCommands);
    this.#openPull = () => openPull(settings, shared, events);
    if (settings.command_spec.length > 0) {
      const server = await RpcServer.open({
        ...shared,
        addr: { specs: settings.command_spec, mode: "bind" },
        answersAll: true,
        waitsForStart: true,
        onRequest: events.onCommand,
      });
      this.#doors.push(server);
      others.push(server);
    }
    this.#sub = await openSub(settings, shared, events);
    if (this.#sub !== undefined) others.push(received(this.#sub));
    this.#doors.push(this.clients, this.requests);
  }

  /** Everything is open: what comes is taken from now on. */
  start(): void {
    for (const one of this.#doors) one.start();
  }

  /** Publishers may come. */
  async openPull(): Promise<void> {
    this.#all.push(...(await this.#openPull()));
  }

  /** Connections of the proxy are heard of only while somebody wants to know of them. */
  followProxyConnections(wanted: boolean): void {
    if (wanted) this.#proxyStats?.subscribe("conn ");
    else this.#proxyStats?.unsubscribe("conn ");
  }

  wsControl(to: string, frame: Buffer): void {
    this.#control.send(to, frame);
  }

  subscribe(channel: string): void {
    this.#sub?.subscribe(channel);
  }

  unsubscribe(channel: string): void {
    this.#sub?.unsubscribe(channel);
  }

  async close(): Promise<void> {
    this.#control.close();
    await Promise.all(this.#all.map((one) => one.close()));
  }
}

async function openPull(
  settings: HandlerSettings,
  shared: { readonly log: Logger; readonly ipcFileMode?: number },
  events: HandlerSocketEvents,
): Promise<ZmqSocket[]> {
  if (settings.push_in_spec.length === 0) return [];
  const pull = await ZmqSocket.open({
    ...shared,
    type: "pull",
    specs: settings.push_in_spec,
    mode: "bind",
    onMessage: (frames) => events.onPull(frames),
  });
  return [pull];
}

/** What PUB publishers connect to. */
async function openSub(
  settings: HandlerSettings,
  shared: { readonly log: Logger; readonly ipcFileMode?: number },
  events: HandlerSocketEvents,
): Promise<ZmqSocket | undefined> {
  const specs = [...settings.push_in_sub_specs, ...settings.push_in_sub_spec];
  if (specs.length === 0) return undefined;
  return ZmqSocket.open({
    ...shared,
    type: "sub",
    specs,
    mode: settings.push_in_sub_connect ? "connect" : "bind",
    tcpKeepAlive: settings.push_in_sub_connect,
    isPaused: true,
    onMessage: (frames) => events.onPublished(frames),
  });
}

function connect(specs: readonly string[]) {
  return { specs, mode: "connect" as const };
}
