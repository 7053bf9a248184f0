import { EventEmitter, once } from "node:events";
import { connect } from "node:net";
import type { Worker } from "node:worker_threads";
import { memoryLog } from "@pushpin/log";
import { until } from "@pushpin/testkit";
import { afterEach, describe, expect, test } from "vitest";
import type { ControlTarget } from "../core/control-api.ts";
import { addRequest, type ControlBatch, readResponses } from "../core/control-batch.ts";
import { ControlPort, type ThreadData, type ThreadOrder } from "./control-port.ts";

/** In the place of a thread. */
class FakeWorker extends EventEmitter {
  readonly data: ThreadData;
  readonly orders: ThreadOrder[] = [];
  isEnded = false;

  constructor(data: ThreadData) {
    super();
    this.data = data;
  }

  unref(): void {}

  postMessage(order: ThreadOrder): void {
    this.orders.push(order);
    if (order === "leave") this.emit("message", { type: "left" });
  }

  async terminate(): Promise<number> {
    if (!this.isEnded) this.emit("exit", 1);
    this.isEnded = true;
    return 1;
  }
}

const LIMITS = { headerMaxBytes: 1000, bodyMaxBytes: 1000 };
const BODY = JSON.stringify({ items: [{ channel: "a", formats: { "http-stream": { content: "x" } } }] });

describe("given the control port", () => {
  const ports: ControlPort[] = [];
  afterEach(async () => {
    for (const port of ports.splice(0)) await port.close();
  });

  async function open(options: { copies?: readonly number[]; cores?: number; threadFrom?: number } = {}) {
    const workers: FakeWorker[] = [];
    const log = memoryLog();
    const published: string[] = [];
    const confirm: (() => void)[] = [];
    const target: ControlTarget = {
      publish: (items, done) => {
        for (const { channel } of items) published.push(channel);
        if (done !== undefined) confirm.push(done);
      },
      publishWithReceipts: () => {},
      recover: () => published.push("recover"),
      readiness: () => {},
    };
    const port = await ControlPort.open({
      listen: { host: "127.0.0.1", port: 0 },
      copies: options.copies ?? [70, 71],
      cores: options.cores ?? 4,
      limits: LIMITS,
      threadFrom: options.threadFrom ?? 10,
      target,
      log,
      startThread: (data) => {
        const worker = new FakeWorker(data);
        workers.push(worker);
        return worker as unknown as Worker;
      },
    });
    ports.push(port);
    return { port, workers, lines: log.lines, published, confirm };
  }

  const ask = async (port: ControlPort): Promise<string> => {
    const socket = connect(port.port, "127.0.0.1");
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (data) => (text += data.toString("latin1")));
    socket.write("GET / HTTP/1.1\r\n\r\n");
    await once(socket, "close");
    return text;
  };

  /** Many short connections, until `isEnough`. */
  const load = async (port: ControlPort, isEnough: () => boolean): Promise<void> => {
    const one = async () => {
      while (!isEnough()) expect(await ask(port)).toContain("Pushpin API");
    };
    await Promise.all(Array.from({ length: 16 }, one));
  };

  test("when few connections come, then no thread is started", async () => {
    const { port, workers } = await open({ threadFrom: 1_000_000 });
    let count = 0;
    await load(port, () => (count += 1) > 200);
    expect(workers).toEqual([]);
    expect(port.hasThread).toBe(false);
  });

  test("when many connections come, then one thread takes part, with a socket of its own", async () => {
    const { port, workers } = await open();
    await load(port, () => workers.length > 0);
    expect(workers.map(({ data }) => data)).toEqual([{ fd: 70, limits: LIMITS }]);
    let more = 0;
    await load(port, () => (more += 1) > 200);
    expect(workers).toHaveLength(1);
  });

  test("when there is one core, or no other socket, then all stays in one thread", async () => {
    for (const options of [{ cores: 1 }, { copies: [] }]) {
      const { port, workers } = await open(options);
      let count = 0;
      await load(port, () => (count += 1) > 200);
      expect(workers).toEqual([]);
    }
  });

  test("when a thread has read requests, then each is answered by what this process decides", async () => {
    const { port, workers, published, confirm } = await open();
    await load(port, () => workers.length > 0);
    const worker = workers[0] as FakeWorker;
    const batch: ControlBatch = [];
    const request = { minorVersion: 1, headers: [] } as const;
    addRequest(batch, 1, { ...request, method: "POST", target: "/publish/", body: BODY });
    addRequest(batch, 2, { ...request, method: "POST", target: "/publish/", body: "no JSON" });
    addRequest(batch, 3, { ...request, method: "POST", target: "/recover", body: "" });
    worker.emit("message", batch);
    expect(published).toEqual(["a", "recover"]);
    const answers = new Map<number, number>();
    const read = () => {
      for (const order of worker.orders.splice(0))
        if (order !== "leave") readResponses(order, (number, { code }) => answers.set(number, code));
      return answers.size;
    };
    await until("the answers that need no confirmation", () => read() === 2);
    expect([...answers]).toEqual([
      [2, 400],
      [3, 200],
    ]);
    for (const one of confirm) one();
    await until("the answer to who has published", () => read() === 3);
    expect(answers.get(1)).toBe(200);
  });

  test("when a thread fails, then the port goes on, and another thread starts with another socket", async () => {
    const { port, workers, lines } = await open();
    await load(port, () => workers.length > 0);
    const worker = workers[0] as FakeWorker;
    worker.emit("error", new Error("out of memory"));
    worker.emit("exit", 1);
    expect(port.hasThread).toBe(false);
    expect(lines.join("\n")).toMatch(/the thread failed[^]*out of memory/);
    await load(port, () => workers.length > 1);
    expect(workers[1]?.data.fd).toBe(71);
    workers[1]?.emit("exit", 1);
    // There is no third socket.
    let count = 0;
    await load(port, () => (count += 1) > 200);
    expect(workers).toHaveLength(2);
  });

  test("when the process is replaced, then the thread lets go as well", async () => {
    const { port, workers } = await open();
    await load(port, () => workers.length > 0);
    await port.leave();
    expect(workers[0]?.orders).toContain("leave");
    expect(workers[0]?.isEnded).toBe(true);
  });

  test("when clients end their side behind their requests, then all are answered before the end", async () => {
    const { port, published, confirm } = await open();
    const kept = `POST /publish/ HTTP/1.1\r\nConnection: keep-alive\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;
    const last = kept.replace("keep-alive", "close");
    for (const sent of [last, kept, kept + kept + kept, kept + last]) {
      const requests = sent.split("POST").length - 1;
      const socket = connect({ port: port.port, host: "127.0.0.1", allowHalfOpen: true });
      let text = "";
      let isEnded = false;
      socket.on("data", (data) => (text += data.toString("latin1")));
      socket.on("end", () => (isEnded = true));
      socket.end(sent);
      published.length = 0;
      for (let i = 1; i <= requests; i += 1) {
        await until("the next request", () => published.length === i);
        expect(isEnded).toBe(false);
        confirm.shift()?.();
      }
      await until("the end", () => isEnded);
      expect(text.split("200 OK")).toHaveLength(requests + 1);
      socket.destroy();
    }
  });

  test("when a client goes while its request is worked at, then nobody minds", async () => {
    const { port, published, confirm } = await open();
    const socket = connect(port.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(`POST /publish/ HTTP/1.1\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`);
    await until("the request", () => published.length === 1);
    socket.resetAndDestroy();
    confirm.shift()?.();
    expect(await ask(port)).toContain("Pushpin API");
  });
});
