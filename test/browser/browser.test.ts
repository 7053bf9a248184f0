import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Backend, Installation, leavesOut, until } from "@pushpin/testkit";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
const require = createRequire(import.meta.url);

const isLeftOut = leavesOut("tests with a browser", CHROMIUM === undefined ? ["chromium"] : []);

/** In a page everything is global. */
declare const window: Record<string, unknown>;

describe.skipIf(isLeftOut)("given a browser in front of everything", () => {
  let browser: Browser;
  let page: Page;
  let site: Backend;
  let grip: Backend;
  let installation: Installation;
  let url: string;

  beforeAll(async () => {
    grip = await startGripBackend();
    const library = readFileSync(require.resolve("sockjs-client/dist/sockjs.js"), "utf8");
    site = await Backend.start(
      (request, response) => {
        const path = (request.url ?? "/").split("?")[0];
        switch (path) {
          case "/sockjs.js":
            response.setHeader("Content-Type", "application/javascript");
            response.end(library);
            return;
          case "/events":
            response.setHeader("Content-Type", "text/event-stream");
            response.setHeader("Grip-Hold", "stream");
            response.setHeader("Grip-Channel", "events");
            response.end("retry: 100\n\nevent: opened\ndata: \n\n");
            return;
          case "/data":
            response.setHeader("Content-Type", "application/json");
            response.setHeader("X-Shown", "yes");
            response.end('{"method":"' + (request.method ?? "") + '"}');
            return;
          default:
            response.setHeader("Content-Type", "text/html");
            response.end("<!DOCTYPE html><title>page</title><script src=/sockjs.js></script>");
        }
      },
      (socket) => socket.on("message", (data: Buffer) => socket.send(`echo ${data.toString()}`)),
    );
    installation = await Installation.start({
      routes: [
        `127.0.0.1,sockjs=/sock ${site.address}`,
        `127.0.0.1,path_beg=/data,aco ${site.address}`,
        `127.0.0.1,path_beg=/woh ${grip.address},over_http`,
        `127.0.0.1,path_beg=/grip ${grip.address}`,
        `localhost ${site.address}`,
      ],
    });
    url = installation.url;
    browser = await chromium.launch({
      executablePath: CHROMIUM as string,
      args: ["--no-sandbox", "--disable-gpu"],
    });
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    await installation?.stop();
    await Promise.all([site?.stop(), grip?.stop()]);
  });

  beforeEach(async () => {
    await page?.close();
    page = await browser.newPage();
    await page.goto(`${url}/page`);
  });

  /** What the page has put into `window.seen`. */
  const seen = () => page.evaluate(() => (window["seen"] ?? []) as string[]);
  const hasSeen = (text: string) =>
    until(`${text} in the page`, async () => (await seen()).includes(text));

  test("when an EventSource loses its stream, then it comes back with the id it saw last", async () => {
    await page.evaluate(() => {
      const list: string[] = [];
      window["seen"] = list;
      const source = new EventSource("/events");
      source.addEventListener("opened", () => list.push("opened"));
      source.addEventListener("message", (event) => list.push(event.data as string));
    });
    await hasSeen("opened");
    const format = (content: string) => ({ "http-stream": { content } });
    await until("an event", async () => {
      await installation.publish({ channel: "events", formats: format("id: 7\ndata: news\n\n") });
      return (await seen()).includes("news");
    });
    await installation.publish({ channel: "events", formats: { "http-stream": { action: "close" } } });
    await until("the browser's return", () =>
      site.requests.some((one) => one.url === "/events" && one.headers["last-event-id"] === "7"),
    );
    await until("the second stream", async () => (await seen()).filter((one) => one === "opened").length >= 2);
  });

  test("when a page reads a streamed response, then pieces come as they are published", async () => {
    await page.evaluate(() => {
      const list: string[] = [];
      window["seen"] = list;
      void (async () => {
        const response = await fetch("/events");
        const reader = response.body?.getReader();
        const decoder = new TextDecoder();
        for (;;) {
          const piece = await reader?.read();
          if (piece === undefined || piece.done) break;
          list.push(decoder.decode(piece.value));
        }
        list.push("end");
      })();
    });
    await until("the head", async () => (await seen()).length > 0);
    await until("a piece", async () => {
      await installation.publish({ channel: "events", formats: { "http-stream": { content: "piece" } } });
      return (await seen()).some((one) => one.includes("piece"));
    });
    await installation.publish({ channel: "events", formats: { "http-stream": { action: "close" } } });
    await hasSeen("end");
  });

  for (const path of ["/plain-socket", "/grip?channel=b1", "/woh?channel=b2"])
    test(`when a page opens a WebSocket to ${path}, then messages, items and the close arrive`, async () => {
      await page.evaluate((target) => {
        const list: string[] = [];
        window["seen"] = list;
        const socket = new WebSocket(`ws://${location.host}${target}`);
        window["socket"] = socket;
        socket.onopen = () => socket.send("hello");
        socket.onmessage = (event) => list.push(event.data as string);
        socket.onclose = (event) => list.push(`closed ${event.code} ${event.reason}`);
      }, path);
      await hasSeen(path.startsWith("/plain") ? "echo hello" : "hello");
      const channel = path.split("channel=")[1];
      if (channel === undefined) {
        await page.evaluate(() => (window["socket"] as WebSocket).close(4001, "bye"));
        await hasSeen("closed 4001 bye");
        return;
      }
      await until("an item", async () => {
        await installation.publish({ channel, formats: { "ws-message": { content: "item" } } });
        return (await seen()).includes("item");
      });
      const close = { action: "close", code: 4002, reason: "done" };
      await installation.publish({ channel, formats: { "ws-message": close } });
      await hasSeen("closed 4002 done");
    });

  for (const transport of ["websocket", "xhr-polling", "jsonp-polling"])
    test(`when a page uses SockJS over ${transport}, then messages pass both ways`, async () => {
      await page.evaluate((name) => {
        const list: string[] = [];
        window["seen"] = list;
        const Client = window["SockJS"] as new (
          path: string,
          protocols: undefined,
          options: object,
        ) => WebSocket & { transport: string };
        const socket = new Client("/sock", undefined, { transports: [name] });
        socket.onopen = () => {
          list.push(`open ${socket.transport}`);
          socket.send("one");
          socket.send("two");
        };
        socket.onmessage = (event) => {
          list.push(event.data as string);
          if (event.data === "echo two") socket.close();
        };
        socket.onclose = () => list.push("closed");
      }, transport);
      await hasSeen(`open ${transport}`);
      await hasSeen("echo one");
      await hasSeen("echo two");
      await hasSeen("closed");
    });

  test("when a page of another origin asks, then preflight and response let it read", async () => {
    await page.goto(`http://localhost:${installation.port}/page`);
    const result = await page.evaluate(async (target) => {
      const response = await fetch(`${target}/data`, {
        method: "PUT",
        headers: { "X-Custom": "1" },
        credentials: "include",
      });
      return [response.status, response.headers.get("x-shown"), await response.text()];
    }, url);
    expect(result).toEqual([200, "yes", '{"method":"PUT"}']);
    expect(site.requests.some((one) => one.method === "OPTIONS" && one.url === "/data")).toBe(true);
  });

  test("when a page of another origin uses JSON-P, then its function is called", async () => {
    await page.goto(`http://localhost:${installation.port}/page`);
    const result = await page.evaluate(
      (target) =>
        new Promise((resolve) => {
          window["called"] = resolve;
          const script = document.createElement("script");
          script.src = `${target}/data?callback=called`;
          document.head.append(script);
        }),
      url,
    );
    expect(result).toMatchObject({ code: 200, body: '{"method":"GET"}' });
  });
});
