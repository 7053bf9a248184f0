import { once } from "node:events";
import { rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { memoryLog } from "@pushpin/log";
import { freePorts, makeTestDirectory, TestProcess, until } from "@pushpin/testkit";
import { Packet } from "@pushpin/zhttp";
import { ResponderSockets } from "@pushpin/zhttp/sockets";
import { RawClient } from "../connmgr/fixture.ts";

/** What the handler behind the original has seen of one session. */
export interface Seen {
  readonly uri: string;
  body: string;
  /** `open`, or how the session ended: `complete`, `close`, `cancel`, `error`. */
  end: string;
}

/** The original's connection manager with a handler behind it that accepts everything. */
export class Condure {
  readonly seen: Seen[] = [];
  readonly #byId = new Map<string, { seen: Seen; seq: number }>();
  readonly #directory: string;
  readonly #port: number;
  readonly #process: TestProcess;
  #sockets!: ResponderSockets;

  private constructor(directory: string, port: number) {
    this.#directory = directory;
    this.#port = port;
    this.#process = new TestProcess("condure", [
      "condure",
      `--listen=127.0.0.1:${port},stream`,
      `--zclient-stream=ipc://${directory}/cm`,
      "--stream-maxconn=1000",
      "--buffer-size=8192",
    ]);
  }

  static async start(): Promise<Condure> {
    const [port = 0] = await freePorts(1);
    const condure = new Condure(makeTestDirectory(), port);
    const spec = (name: string) =>
      ({ specs: [`ipc://${join(condure.#directory, name)}`], mode: "connect" }) as const;
    condure.#sockets = await ResponderSockets.open({
      instanceId: "handler",
      pull: spec("cm-out"),
      stream: spec("cm-out-stream"),
      pub: spec("cm-in"),
      log: memoryLog(2),
      onFirst: (packet) => condure.#first(packet),
      onPacket: (packet) => condure.#packet(packet),
    });
    await until("condure to listen", async () => {
      const socket = connect(port, "127.0.0.1");
      const isOpen = await once(socket, "connect").then(
        () => true,
        () => false,
      );
      socket.destroy();
      return isOpen;
    });
    return condure;
  }

  client(): Promise<RawClient> {
    return RawClient.over(connect({ port: this.#port, host: "127.0.0.1", allowHalfOpen: true }));
  }

  async stop(): Promise<void> {
    await this.#process.stop();
    await this.#sockets.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #first(packet: Packet): void {
    const session = { seen: { uri: packet.uri, body: "", end: "open" }, seq: 0 };
    this.#byId.set(packet.id, session);
    this.seen.push(session.seen);
    if (packet.uri.startsWith("ws"))
      this.#send(packet, { code: 101, reason: "S", headers: [], credits: 1_000_000_000 });
    else if (packet.more) this.#send(packet, { type: "credit", credits: 1_000_000 });
    else this.#respond(packet);
  }

  #packet(packet: Packet): void {
    const session = this.#byId.get(packet.id);
    if (session === undefined || session.seen.end !== "open") return;
    const { seen } = session;
    if (packet.type !== "data") {
      if (packet.type === "cancel" || packet.type === "error" || packet.type === "close")
        seen.end = packet.type;
      return;
    }
    seen.body +=
      typeof packet.body === "string" ? packet.body : Buffer.from(packet.body).toString("latin1");
    if (!packet.more && !seen.uri.startsWith("ws")) this.#respond(packet);
  }

  #respond(packet: Packet): void {
    const session = this.#byId.get(packet.id);
    if (session !== undefined) session.seen.end = "complete";
    this.#send(packet, { code: 200, reason: "OK", headers: [], body: "ok" });
  }

  #send(to: Packet, fields: Partial<Packet>): void {
    const session = this.#byId.get(to.id);
    if (session === undefined) return;
    const packet = Object.assign(new Packet(), fields, {
      from: "handler",
      id: to.id,
      seq: session.seq,
    });
    session.seq += 1;
    this.#sockets.send(to.from, packet, false);
  }
}
