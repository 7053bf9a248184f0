import { spawn } from "node:child_process";
import { join } from "node:path";
import {
  awaitedLater,
  Backend,
  HttpStream,
  Installation,
  PushPublisher,
  ROOT,
  SocketClient,
  SubPublisher,
  until,
} from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";

describe("given held clients and every way to publish", () => {
  let backend: Backend;
  let instructed: Backend;
  let installation: Installation;

  beforeAll(async () => {
    backend = await startGripBackend();
    // Answers with the instruct of the query: a hold of the test's choice.
    instructed = await Backend.start((request, response) => {
      const url = new URL(request.url ?? "/", "http://backend");
      response.setHeader("Content-Type", "application/grip-instruct");
      response.end(url.searchParams.get("instruct") ?? "{}");
    });
    installation = await Installation.start({
      routes: [`instruct.test ${instructed.address}`, `* ${backend.address}`],
    });
  });

  afterAll(async () => {
    await installation?.stop();
    await backend?.stop();
    await instructed?.stop();
  });

  const hold = async (channel: string) => {
    const stream = await HttpStream.open(`${installation.url}/stream?channel=${channel}`);
    await stream.received("[open]\n");
    return stream;
  };
  const instruct = (value: object) =>
    HttpStream.open(
      `${installation.url}/?instruct=${encodeURIComponent(JSON.stringify(value))}`,
      { headers: { Host: "instruct.test" } },
    );
  /** A subscription needs a moment to be there. */
  const repeat = (publish: () => unknown, isThere: () => boolean) =>
    until("a published item", async () => {
      if (isThere()) return true;
      await publish();
      return until("its arrival", isThere, 500).catch(() => undefined);
    });
  const publish = (channel: string, formats: object, more: object = {}) =>
    installation.publish({ channel, formats, ...more });
  const streamItem = (content: string) => ({ "http-stream": { content } });

  test("when an item comes over PULL, then the stream has it", async () => {
    const stream = await hold("pull");
    const publisher = await PushPublisher.connect(`tcp://127.0.0.1:${installation.pushPort}`);
    await repeat(
      () => publisher.publish({ channel: "pull", formats: streamItem("by pull\n") }),
      () => stream.text.includes("by pull\n"),
    );
    stream.close();
    await publisher.close();
  });

  test("when clients come and go, then publishers behind SUB see subscriptions, and their items arrive", async () => {
    const publisher = await SubPublisher.connect(`tcp://127.0.0.1:${installation.subPort}`);
    expect(publisher.subscriptions.has("sub")).toBe(false);
    const stream = await hold("sub");
    await until("the subscription", () => publisher.subscriptions.has("sub"));
    publisher.publish("sub", { formats: streamItem("by sub\n") });
    await stream.received("by sub\n");
    stream.close();
    await until("its end", () => !publisher.subscriptions.has("sub"), 20_000);
    await publisher.close();
  });

  test("when a publisher is there before the clients, then it need not come again", async () => {
    const publisher = await SubPublisher.connect(`tcp://127.0.0.1:${installation.subPort}`);
    const streams = await Promise.all(["early-1", "early-2", "early-2"].map(hold));
    for (const channel of ["early-1", "early-2"]) {
      await until("the subscription", () => publisher.subscriptions.has(channel));
      publisher.publish(channel, { formats: streamItem(`for ${channel}\n`) });
    }
    for (const [i, channel] of ["early-1", "early-2", "early-2"].entries())
      await streams[i]?.received(`for ${channel}\n`);
    for (const stream of streams) stream.close();
    await publisher.close();
  });

  test("when one request publishes many items, then each reaches its channel, in order", async () => {
    const [a, b] = [await hold("many-a"), await hold("many-b")];
    await repeat(
      () => publish("many-b", streamItem("ready\n")),
      () => b.text.includes("ready\n"),
    );
    const items = Array.from({ length: 200 }, (_, i) => ({
      channel: i % 2 === 0 ? "many-a" : "many-b",
      formats: streamItem(`${i},`),
    }));
    await installation.publish(...items);
    await a.received("198,");
    await b.received("199,");
    const even = Array.from({ length: 100 }, (_, i) => `${2 * i},`).join("");
    const odd = Array.from({ length: 100 }, (_, i) => `${2 * i + 1},`).join("");
    expect(a.text).toBe(`[open]\n${even}`);
    expect(b.text.endsWith(odd)).toBe(true);
    a.close();
    b.close();
  });

  test("when items name their predecessor, then they are sent in that order and only once", async () => {
    const stream = await hold("ordered");
    await repeat(
      () => publish("ordered", streamItem("ready\n")),
      () => stream.text.includes("ready\n"),
    );
    const item = (id: string, before: string) =>
      publish("ordered", streamItem(`${id},`), { id, "prev-id": before });
    await publish("ordered", streamItem("1,"), { id: "1" });
    await item("3", "2");
    await item("2", "1");
    await item("2", "1");
    await item("4", "3");
    await stream.received("4,");
    expect(stream.text.match(/\d,/g)).toEqual(["1,", "2,", "3,", "4,"]);
    stream.close();
  });

  test("when one item has all formats, then each kind of client gets its own", async () => {
    const stream = await hold("all");
    const socket = await SocketClient.open(
      `${installation.url.replace("http", "ws")}/grip?channel=all`,
    );
    let poll: HttpStream | undefined;
    const pending = awaitedLater(
      HttpStream.whole(`${installation.url}/poll?channel=all`).then((one) => {
        poll = one;
      }),
    );
    const formats = {
      "http-stream": { content: "S" },
      "http-response": { body: "R" },
      "ws-message": { content: "W" },
    };
    await repeat(
      () => publish("all", formats),
      () => stream.text.includes("S") && socket.messages.includes("W") && poll !== undefined,
    );
    await pending;
    expect(poll?.text).toBe("R");
    stream.close();
    socket.socket.close();
  });

  test("when bytes are binary, then they arrive as they were", async () => {
    const stream = await hold("binary");
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const format = { "http-stream": { "content-bin": bytes.toString("base64") } };
    await repeat(
      () => publish("binary", format),
      () => stream.text.includes(bytes.toString("latin1")),
    );
    stream.close();
  });

  test("when a response hold times out, then the client gets the backend's response", async () => {
    const response = await instruct({
      hold: { mode: "response", timeout: 1, channels: [{ name: "never" }] },
      response: { code: 202, headers: { "X-A": "b" }, body: "timed out\n" },
    });
    expect(await response.finished()).toBe("complete");
    expect([response.status, response.text, response.headers["x-a"]]).toEqual([
      202,
      "timed out\n",
      "b",
    ]);
  });

  test("when a stream hold has a keep-alive, then it is sent while nothing is published", async () => {
    const stream = await instruct({
      hold: {
        mode: "stream",
        channels: [{ name: "quiet" }],
        "keep-alive": { content: "[alive]\n", timeout: 1 },
      },
      response: { body: "[open]\n" },
    });
    await stream.received("[alive]\n[alive]\n", 30_000);
    stream.close();
  });

  test("when an instruct is none, then the client gets an error and the next is served", async () => {
    for (const bad of [{ hold: 1 }, { hold: { mode: "nonsense" } }, []]) {
      const response = await instruct(bad);
      await response.finished();
      expect([JSON.stringify(bad), response.status]).toEqual([JSON.stringify(bad), 502]);
    }
    (await hold("after")).close();
  });

  test("when a thousand clients hold one channel, then an item reaches all of them", async () => {
    const streams = await Promise.all(Array.from({ length: 1000 }, () => hold("crowd")));
    const missing = () => streams.filter((one) => !one.text.includes("to all\n")).length;
    await repeat(
      () => publish("crowd", streamItem("to all\n")),
      () => missing() === 0,
    );
    for (const stream of streams) stream.close();
  });

  test("when a reader is slow, then the others get everything all the same", async () => {
    const [slow, quick] = [await hold("slow"), await hold("slow")];
    await repeat(
      () => publish("slow", streamItem("ready\n")),
      () => slow.text.includes("ready\n") && quick.text.includes("ready\n"),
    );
    slow.response.pause();
    const piece = "x".repeat(50_000);
    for (let i = 0; i < 100; i += 1) await publish("slow", streamItem(`${piece}${i},`));
    await quick.received("x99,", 30_000);
    expect(quick.text.match(/\d+,/g)?.length).toBe(100);
    quick.close();
    slow.close();
  });

  const run = (args: readonly string[], input = "") =>
    new Promise<{ code: number | null; text: string }>((resolve) => {
      const child = spawn(process.execPath, [
        join(ROOT, "packages/publish/bin/pushpin-publish.js"),
        ...args,
      ]);
      let text = "";
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (data: Buffer) => {
          text += data.toString();
        });
      child.on("close", (code) => resolve({ code, text }));
      child.stdin.on("error", () => {});
      child.stdin.end(input);
    });

  test("when pushpin-publish is used over either transport, then the item arrives", async () => {
    const stream = await hold("command");
    for (const spec of [installation.controlUrl, `tcp://127.0.0.1:${installation.pushPort}`])
      await repeat(
        async () =>
          expect(await run([`--spec=${spec}`, "command", `by ${spec}`])).toEqual({
            code: 0,
            text: "Published\n",
          }),
        () => stream.text.includes(`by ${spec}\n`),
      );
    stream.close();
  });
});
