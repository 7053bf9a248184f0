import { awaitedLater, HttpStream, publishTo, SocketClient, until } from "@pushpin/testkit";
import { expect, test } from "vitest";

/** An installation as its users see it: `host` of a route is chosen by the Host header. */
export interface Reached {
  /** The connection manager leaves connections open after both closes. */
  readonly leavesOpen?: boolean;
  readonly url: string;
  readonly controlUrl: string;
}

/** Routes the main job needs, towards a GRIP backend. */
export const mainJobRoutes = (target: string) => [`woh.test ${target},over_http`, `* ${target}`];

/**
 * What every mix of processes has to do: proxying, stream hold and publish, long poll, and both
 * kinds of WebSocket. `reach` is called inside the tests.
 */
export function testMainJob(reach: () => Reached): void {
  const socketUrl = (path: string) => reach().url.replace(/^http/, "ws") + path;
  const open = (path: string, headers?: Record<string, string>) =>
    SocketClient.open(socketUrl(path), headers, reach().leavesOpen === true ? 200 : undefined);
  const publish = (channel: string, formats: object) =>
    publishTo(reach().controlUrl, [{ channel, formats }]);

  /** Publishes again and again until the client has it: a subscription needs a moment. */
  const publishUntil = async (channel: string, formats: object, isThere: () => boolean) => {
    await until(`an item on ${channel}`, async () => {
      if (isThere()) return true;
      await publish(channel, formats);
      return until("its arrival", isThere, 500).catch(() => undefined);
    });
  };

  test("given a backend, when requests with and without bodies are sent, then they come back whole", async () => {
    const { url } = reach();
    const empty = await HttpStream.whole(`${url}/echo`);
    expect([empty.status, empty.text, empty.headers["x-method"]]).toEqual([200, "", "GET"]);
    const body = Buffer.alloc(300_000, "0123456789");
    const large = await HttpStream.whole(`${url}/echo`, { method: "POST", body });
    expect(large.status).toBe(200);
    expect(large.text).toBe(body.toString("latin1"));
    const head = await HttpStream.whole(`${url}/echo`, { method: "HEAD" });
    expect([head.status, head.text]).toEqual([200, ""]);
  });

  test("given a stream hold, when items are published, then they are appended in order", async () => {
    const stream = await HttpStream.open(`${reach().url}/stream?channel=s1`);
    await stream.received("[open]\n");
    expect(Object.keys(stream.headers).some((name) => name.startsWith("grip-"))).toBe(false);
    const format = (content: string) => ({ "http-stream": { content } });
    await publishUntil("s1", format("first\n"), () => stream.text.includes("first"));
    for (let i = 0; i < 20; i += 1) await publish("s1", format(`item ${i}\n`));
    await stream.received("item 19\n");
    const items = stream.text.match(/item \d+/g);
    expect(items).toEqual(Array.from({ length: 20 }, (_, i) => `item ${i}`));
    await publish("s1", { "http-stream": { action: "close" } });
    expect(await stream.finished()).toBe("complete");
  });

  test("given a response hold, when an item is published, then it is the response", async () => {
    let answer: HttpStream | undefined;
    const pending = awaitedLater(
      HttpStream.whole(`${reach().url}/poll?channel=p1`).then((one) => {
        answer = one;
      }),
    );
    const format = { "http-response": { code: 201, headers: { "X-Item": "1" }, body: "news\n" } };
    await publishUntil("p1", format, () => answer !== undefined);
    await pending;
    expect([answer?.status, answer?.text, answer?.headers["x-item"]]).toEqual([201, "news\n", "1"]);
  });

  test("given many response holds on a channel, when an item is published, then each is answered", async () => {
    const answers: HttpStream[] = [];
    const polls = Array.from({ length: 20 }, async () => {
      answers.push(await HttpStream.whole(`${reach().url}/poll?channel=p2`));
    });
    const pending = awaitedLater(Promise.all(polls));
    const format = { "http-response": { headers: { "X-Item": "2" }, body: "news for all\n" } };
    await publishUntil("p2", format, () => answers.length === polls.length);
    await pending;
    for (const { status, text, headers } of answers)
      expect([status, text, headers["x-item"]]).toEqual([200, "news for all\n", "2"]);
  });

  test("given a WebSocket backend, when messages are sent, then they are echoed, and closes pass", async () => {
    const client = await open("/plain");
    client.send("hello");
    await client.received("hello");
    const binary = Buffer.alloc(50_000, 7);
    client.send(binary);
    await client.received(binary);
    client.socket.close(4001, "bye");
    expect(await client.end()).toMatchObject({ code: 4001 });
  });

  test("given a WebSocket backend that speaks GRIP, when items are published, then subscribers get them", async () => {
    const client = await open("/grip?channel=w1");
    client.send("one");
    await client.received("one");
    const isThere = () => client.messages.includes("published");
    await publishUntil("w1", { "ws-message": { content: "published" } }, isThere);
    expect(client.messages.some((one) => String(one).startsWith("c:"))).toBe(false);
    await publish("w1", { "ws-message": { action: "close", code: 4002 } });
    expect((await client.end()).code).toBe(4002);
  });

  test("given WebSocket-over-HTTP, when messages and items come, then both reach the client", async () => {
    const client = await open("/woh?channel=o1", { Host: "woh.test" });
    client.send("over http");
    await client.received("over http");
    const isThere = () => client.messages.includes("published");
    await publishUntil("o1", { "ws-message": { content: "published" } }, isThere);
    client.socket.close(4003, "done");
    expect((await client.end()).code).toBe(4003);
  });
}
