import { type Backend, Installation, SocketClient, until } from "@pushpin/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { crash } from "./crash.ts";
import { answers, type BackendSocket, startNumberedBackend } from "./numbered-backend.ts";

let backend: Backend;
let sockets: BackendSocket[];
let installation: Installation;

beforeAll(async () => {
  ({ backend, sockets } = await startNumberedBackend());
});
afterAll(() => backend.stop());
beforeEach(async () => {
  sockets.length = 0;
  installation = await Installation.start({
    routes: [`* ${backend.address}`, `*,path_beg=/again,reconnect ${backend.address}`],
  });
});
afterEach(() => installation.stop());

const open = (path: string) => SocketClient.open(installation.url.replace("http", "ws") + path);
const numbered = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `${from + i} text ${from + i}`);

/** Which of the answers is not what it should be; short, also where it goes wrong. */
function firstWrong(all: readonly string[]): string {
  const at = all.findIndex((one, i) => one !== `${i + 1} text ${i + 1}`);
  return at < 0 ? `none of ${all.length}` : `${at}: ${all[at]}`;
}

describe("given WebSockets with a connection to the backend, when the proxy is killed", () => {
  test("then idle ones go on, both ways, over the same connection", async () => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => open("/plain")));
    for (const client of clients) client.send("text 1");
    for (const client of clients) expect(await answers(client, 1)).toEqual(numbered(1, 1));
    await crash(installation, "proxy");
    for (const client of clients) client.send("text 2");
    for (const client of clients) expect(await answers(client, 2)).toEqual(numbered(1, 2));
    expect(sockets.length).toBe(5);
    for (const client of clients) client.socket.close(4000, "done");
    for (const client of clients) expect((await client.end()).code).toBe(4000);
    await until("the backend's close", () => sockets.every((one) => one.closed === 4000));
  });

  test("then nothing that is sent meanwhile is lost, comes twice, or out of order", async () => {
    const clients = await Promise.all(Array.from({ length: 10 }, () => open("/plain")));
    let sent = 0;
    for (let round = 0; round < 3; round += 1) {
      const gone = crash(installation, "proxy");
      let isGone = false;
      void gone.finally(() => {
        isGone = true;
      });
      while (!isGone) {
        sent += 1;
        for (const client of clients) client.send(`text ${sent}`);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await gone;
    }
    for (const client of clients)
      expect(firstWrong(await answers(client, sent))).toBe(`none of ${sent}`);
    for (const client of clients) client.socket.close();
  });

  test("then a message of which a part has come goes on where it was, and so do empty ones and pings", async () => {
    const client = await open("/plain");
    client.send("text 1");
    await answers(client, 1);
    const big = "x".repeat(300_000);
    client.socket.send(big.slice(0, 100_000), { fin: false });
    const gone = crash(installation, "proxy");
    client.socket.send(big.slice(100_000, 200_000), { fin: false });
    client.socket.ping("p");
    await gone;
    client.socket.send(big.slice(200_000), { fin: true });
    client.send("");
    client.send("last");
    expect(await answers(client, 4)).toEqual(["1 text 1", "2 300000", "3 ", "4 last"]);
    expect(sockets[0]?.messages[1]).toBe(big);
    client.socket.close();
  });

  test("then large messages of the backend arrive whole, also to a client that is slow to take them", async () => {
    const client = await open("/quiet");
    await until("the backend", () => sockets.length === 1);
    client.socket.pause();
    const bodies = Array.from({ length: 40 }, (_, i) => Buffer.alloc(50_000, `${i} `).toString());
    for (const body of bodies) sockets[0]?.socket.send(body);
    await crash(installation, "proxy");
    client.socket.resume();
    const all = await answers(client, bodies.length);
    expect(all.findIndex((one, i) => one !== bodies[i])).toBe(-1);
    expect(all.length).toBe(bodies.length);
    client.socket.close();
  });

  test("then subscriptions of a backend that speaks GRIP are kept, and published messages and its own come once", async () => {
    const client = await open("/grip?channel=a");
    await installation.runner.said(/subscribe .*channel=a/);
    const publish = (content: string) =>
      installation.publish({ channel: "a", formats: { "ws-message": { content } } });
    await publish("p1");
    client.send("text 1");
    await answers(client, 2);
    const gone = crash(installation, "proxy");
    await publish("p2");
    client.send("text 2");
    sockets[0]?.socket.send("m:by itself");
    await gone;
    // Until then it may be with the handler alone (`docs/crash-survival.md`).
    await client.received("p2");
    await crash(installation, "handler");
    await publish("p3");
    client.send("text 3");
    const all = await answers(client, 7);
    expect(all.filter((one) => one.startsWith("p"))).toEqual(["p1", "p2", "p3"]);
    expect(all.filter((one) => one.includes("text"))).toEqual(numbered(1, 3));
    expect(all.filter((one) => one === "by itself")).toHaveLength(1);
    expect(sockets).toHaveLength(1);
    client.socket.close();
  });

  test("then closes of the backend and of the client arrive, with their codes", async () => {
    const [byBackend, byClient] = [await open("/plain"), await open("/plain")];
    await until("the backend", () => sockets.length === 2);
    const gone = crash(installation, "proxy");
    sockets[0]?.socket.send("before the close");
    sockets[0]?.socket.close(4001, "backend");
    byClient.send("before the close");
    byClient.socket.close(4002, "client");
    await gone;
    expect(await byBackend.end()).toEqual({ code: 4001, reason: "backend" });
    expect(byBackend.messages).toEqual(["before the close"]);
    expect((await byClient.end()).code).toBe(4002);
    await until("both closes", () => sockets[0]?.closed === 4001 && sockets[1]?.closed === 4002);
    expect(sockets[1]?.messages).toEqual(["before the close"]);
  });

  test("then the backend hears of clients that leave meanwhile", async () => {
    const client = await open("/plain");
    await until("the backend", () => sockets.length === 1);
    const gone = crash(installation, "proxy");
    client.socket.terminate();
    await gone;
    await until("the end", () => sockets[0]?.closed !== undefined, 30_000);
  });
});

describe("given a route with reconnect, when the HTTP client is killed", () => {
  test("then clients notice nothing, and what the backend has not got is sent again", async () => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => open("/again")));
    for (const client of clients) client.send("text 1");
    for (const client of clients) await answers(client, 1);
    await until("the backend", () => sockets.length === 5);
    const gone = crash(installation, "httpclient");
    for (const client of clients) client.send("meanwhile");
    await gone;
    await until("new connections", () => sockets.length === 10);
    for (const client of clients) client.send("afterwards");
    for (const client of clients)
      await until("an answer", () => client.messages.some((one) => String(one).includes("afterwards")));
    const got = sockets.flatMap((one) => one.messages);
    expect(got.filter((one) => one === "afterwards")).toHaveLength(5);
    expect(got.filter((one) => one === "meanwhile").length).toBeGreaterThanOrEqual(5);
    expect(clients.every((one) => one.closed === undefined)).toBe(true);
    // The new connections survive the next death of the proxy.
    await crash(installation, "proxy");
    for (const client of clients) client.send("at last");
    for (const client of clients)
      await until("an answer", () => client.messages.some((one) => String(one).includes("at last")));
    expect(sockets.length).toBe(10);
    for (const client of clients) client.socket.close();
  });

  test("then they are closed with 1012 without the flag", async () => {
    const client = await open("/plain");
    await crash(installation, "httpclient");
    expect((await client.end()).code).toBe(1012);
  });
});
