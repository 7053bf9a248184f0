import { HttpStream, Installation, SocketClient, until } from "@pushpin/testkit";
import type { Backend } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { crash, pidOf } from "./crash.ts";

let backend: Backend;
let installation: Installation;

beforeAll(async () => {
  backend = await startGripBackend();
});
afterAll(() => backend.stop());
beforeEach(async () => {
  installation = await Installation.start({
    routes: [`* ${backend.address},over_http`],
    config: { handler: { id_cache_ttl: "60" } }, // as shipped
  });
});
afterEach(() => installation.stop());

const item = (channel: string, content: string) => ({
  channel,
  formats: {
    "http-stream": { content },
    "http-response": { body: content },
    "ws-message": { content },
  },
});

describe("given held clients, when the handler is killed", () => {
  test("then streams stay open and get what is published afterwards, once", async () => {
    const streams = await Promise.all(
      Array.from({ length: 5 }, () => HttpStream.open(`${installation.url}/stream?channel=a`)),
    );
    for (const stream of streams) await stream.received("[open]\n");
    await installation.publish(item("a", "one\n"));
    for (const stream of streams) await stream.received("one\n");
    await crash(installation, "handler");
    await installation.publish(item("a", "two\n"));
    for (const stream of streams) {
      await stream.received("two\n");
      expect(stream.text).toBe("[open]\none\ntwo\n");
      expect(stream.end).toBeUndefined();
    }
  });

  test("and its successor in the middle of taking over, then the next one has them all", async () => {
    const streams = await Promise.all(
      Array.from({ length: 200 }, () => HttpStream.open(`${installation.url}/stream?channel=a`)),
    );
    for (const stream of streams) await stream.received("[open]\n");
    process.kill(pidOf(installation, "handler") as number, "SIGKILL");
    await installation.runner.said(/sessions handed to a successor successor=handler/);
    await crash(installation, "handler");
    await installation.publish(item("a", "two\n"));
    for (const stream of streams) {
      await stream.received("two\n");
      expect(stream.text).toBe("[open]\ntwo\n");
    }
  });

  test("then long polls are answered by the next item", async () => {
    const poll = HttpStream.whole(`${installation.url}/poll?channel=a`);
    await installation.runner.said(/subscribe .*channel=a/);
    await crash(installation, "handler");
    await installation.publish(item("a", "now"));
    expect((await poll).text).toBe("now");
  });

  test("then the backend is told of a stream that left meanwhile, and of no other", async () => {
    const url = `${installation.url}/answer?Grip-Hold=stream&Grip-Channel=a&Grip-Link=`;
    const [gone, stays] = await Promise.all(
      ["gone", "stays"].map((name) => HttpStream.open(`${url}${encodeURIComponent(`</${name}>; rel=gone`)}`)),
    );
    const replaced = crash(installation, "handler");
    gone?.close();
    await replaced;
    const told = () => backend.requests.filter((one) => one.method === "POST").map((one) => one.url);
    await until("the gone link", () => told().includes("/gone"));
    expect(told()).not.toContain("/stays");
    stays?.close();
    await until("the other gone link", () => told().includes("/stays"));
  });

  test("then WebSockets over HTTP stay open and get what is published afterwards", async () => {
    const socket = await SocketClient.open(`${installation.url.replace("http", "ws")}/woh?channel=a`);
    await installation.runner.said(/subscribe .*channel=a/);
    await crash(installation, "handler");
    await installation.publish(item("a", "now"));
    await socket.received("now");
    socket.send("echo");
    await socket.received("echo");
    expect(socket.closed).toBeUndefined();
    socket.socket.close();
  });
});

describe("given a publisher over HTTP that publishes again after the handler was killed", () => {
  test("then an item that had arrived does not come twice, and one that had not comes", async () => {
    const stream = await HttpStream.open(`${installation.url}/stream?channel=a`);
    const socket = await SocketClient.open(`${installation.url.replace("http", "ws")}/woh?channel=a`);
    await installation.runner.said(/(?:subscribe .*channel=a[^]*){2}/);
    const withId = (id: string) => ({ ...item("a", `${id}\n`), id });
    await installation.publish(withId("1"));
    await installation.publish(withId("2"));
    await crash(installation, "handler");
    for (const id of ["1", "2", "3"]) await installation.publish(withId(id));
    await stream.received("3\n");
    await socket.received("3\n");
    expect(stream.text).toBe("[open]\n1\n2\n3\n");
    expect(socket.messages).toEqual(["1\n", "2\n", "3\n"]);
    socket.socket.close();
  });
});

describe("given publishers over HTTP, when the handler is killed as soon as one is answered", () => {
  test("then what was answered with 200 arrives, once", async () => {
    const url = `${installation.url}/stream?channel=a`;
    const streams = await Promise.all(Array.from({ length: 3 }, () => HttpStream.open(url)));
    const socket = await SocketClient.open(`${installation.url.replace("http", "ws")}/woh?channel=a`);
    await installation.runner.said(/(?:subscribe .*channel=a[^]*){4}/);
    const expected: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      for (let i = 0; i < 20; i += 1) expected.push(`${round}.${i}\n`);
      await Promise.all(
        expected.slice(-20).map((content) => installation.publish(item("a", content))),
      );
      await crash(installation, "handler");
    }
    for (const stream of streams) {
      for (const content of expected) await stream.received(content);
      expect(stream.text.slice("[open]\n".length).split("\n").length - 1).toBe(expected.length);
    }
    for (const content of expected) await socket.received(content);
    expect(socket.messages).toHaveLength(expected.length);
    socket.socket.close();
  });
});
