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
  installation = await Installation.start({ routes: [`* ${backend.address}`] });
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
});
