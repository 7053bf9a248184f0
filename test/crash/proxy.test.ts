import { type Backend, HttpStream, Installation, SocketClient, until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { crash } from "./crash.ts";
import { expectSafeOnesToBeRepeated } from "./slow-requests.ts";
import { expectUploadsToBeRepeated } from "./uploads.ts";

let backend: Backend;
let installation: Installation;

beforeAll(async () => {
  backend = await startGripBackend();
});
afterAll(() => backend.stop());
beforeEach(async () => {
  installation = await Installation.start({
    routes: [`* ${backend.address},over_http`],
    // Otherwise a poll goes back to the backend a second after it was held, and misses what is published then.
    config: { handler: { update_on_first_subscription: "false" } },
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

describe("given held clients, when the proxy is killed", () => {
  test("then streams and long polls get what is published meanwhile and afterwards", async () => {
    const stream = await HttpStream.open(`${installation.url}/stream?channel=a`);
    await stream.received("[open]\n");
    const poll = HttpStream.whole(`${installation.url}/poll?channel=b`);
    await installation.runner.said(/subscribe .*channel=b/);
    const gone = crash(installation, "proxy");
    await installation.publish(item("a", "one\n"));
    await stream.received("one\n");
    await gone;
    await installation.publish(item("b", "two\n"));
    expect((await poll).text).toBe("two\n");
  });

  test("then WebSockets over HTTP miss nothing, in either direction", async () => {
    const url = installation.url.replace("http", "ws");
    const sockets = await Promise.all(
      Array.from({ length: 5 }, () => SocketClient.open(`${url}/woh?channel=a`)),
    );
    await installation.runner.said(/(?:subscribe .*channel=a[^]*){5}/);
    await installation.publish(item("a", "0"));
    for (const socket of sockets) await socket.received("0");
    const gone = crash(installation, "proxy");
    for (let i = 1; i <= 20; i += 1) {
      await installation.publish(item("a", `${i}`));
      for (const socket of sockets) socket.send(`echo ${i}`);
    }
    await gone;
    await installation.publish(item("a", "last"));
    for (const socket of sockets) {
      await socket.received("last");
      await socket.received("echo 20");
      const published = socket.messages.filter((one) => !String(one).startsWith("echo"));
      expect(published).toEqual([...Array.from({ length: 21 }, (_, i) => `${i}`), "last"]);
      const echoes = new Set(socket.messages.filter((one) => String(one).startsWith("echo")));
      expect(echoes.size).toBe(20);
      expect(socket.closed).toBeUndefined();
      socket.socket.close();
    }
  });
});

describe("given WebSockets over HTTP, when the proxy is killed and some leave meanwhile", () => {
  test("then the backend is told of those, however they left", async () => {
    const url = `${installation.url.replace("http", "ws")}/woh?channel=`;
    const [lost, closing, stays] = await Promise.all(
      ["lost", "closing", "stays"].map((name) => SocketClient.open(url + name)),
    );
    const events = (channel: string) =>
      backend.requests
        .filter((one) => one.url.endsWith(channel))
        .map((one) => one.body.toString().split(/[ \r]/)[0]);
    const replaced = crash(installation, "proxy");
    lost?.socket.terminate();
    closing?.socket.send("last");
    closing?.socket.close(4001);
    await replaced;
    await until("the end of one", () => events("lost").includes("DISCONNECT"));
    await closing?.end();
    expect(backend.requests.map((one) => one.body.toString())).toContainEqual(
      expect.stringMatching(/^(?:TEXT 4\r\nlast\r\n)?CLOSE 2\r\n/),
    );
    expect(events("stays")).toEqual(["OPEN"]);
    expect(stays?.closed).toBeUndefined();
    stays?.socket.close();
  });
});

describe("given requests that wait for a slow backend, when the proxy is killed", () => {
  test("then those that are safe to repeat are answered, others get 502", () =>
    expectSafeOnesToBeRepeated("proxy"));
});

describe("given requests in the middle of their bodies, when the proxy is killed", () => {
  test("then those that can be repeated go on, others get 502", () =>
    expectUploadsToBeRepeated("proxy"));
});
