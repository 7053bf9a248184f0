import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { EventStream } from "@fanoutio/eventstream";
import { WebSocketMessageFormat } from "@fanoutio/grip";
import { ServeGrip } from "@fanoutio/serve-grip";
import { awaitedLater, HttpStream, Installation, SocketClient, until } from "@pushpin/testkit";
import express, { type NextFunction, type Request, type Response } from "express";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// The older libraries are CommonJS without types.
const require = createRequire(import.meta.url);
const expressGrip = require("express-grip") as {
  configure(config: object): void;
  preHandlerGripMiddleware: express.RequestHandler;
  postHandlerGripMiddleware: express.RequestHandler;
  setHoldStream(response: Response, channel: string): void;
  setHoldLongpoll(response: Response, channel: string, timeout?: number): void;
  getWsContext(response: Response): WsContext;
  verifyIsWebSocket(response: Response, next: NextFunction): boolean;
  publish(channel: string, format: object, done?: (ok: boolean) => void): void;
};
const oldGrip = require("grip") as {
  HttpStreamFormat: new (content: string) => object;
  HttpResponseFormat: new (code: null, reason: null, headers: null, body: string) => object;
  WebSocketMessageFormat: new (content: string) => object;
};

interface WsContext {
  isOpening(): boolean;
  accept(): void;
  subscribe(channel: string): void;
  canRecv(): boolean;
  recv(): unknown;
  send(message: unknown): void;
  close(code?: number): void;
}

/** One turn of a WebSocket-over-HTTP echo, as the libraries' own examples do it. */
function echo(context: WsContext, channel: string): void {
  if (context.isOpening()) {
    context.accept();
    context.subscribe(channel);
  }
  while (context.canRecv()) {
    const message = context.recv();
    if (message === null || message === undefined) {
      context.close();
      break;
    }
    context.send(message);
  }
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

describe("given backends built with GRIP libraries", () => {
  const servers: Server[] = [];
  let installation: Installation;
  let serveGrip: ServeGrip;
  let events: ReturnType<typeof makeEvents>;

  function makeEvents(controlUri: string) {
    return new EventStream({ grip: { control_uri: controlUri } });
  }

  beforeAll(async () => {
    // The backends need the control port, the routes the backends': routes come last, by reload.
    const newServer = createServer((request, response) => newApp(request, response));
    const oldServer = createServer((request, response) => oldApp(request, response));
    const eventServer = createServer((request, response) => eventApp(request, response));
    servers.push(newServer, oldServer, eventServer);
    const [newPort, oldPort, eventPort] = await Promise.all(servers.map(listen));
    installation = await Installation.start({
      routes: [
        `new.test 127.0.0.1:${newPort},over_http`,
        `old.test 127.0.0.1:${oldPort},over_http`,
        `events.test 127.0.0.1:${eventPort}`,
      ],
    });
    const control = { control_uri: `${installation.controlUrl}/`, key: "changeme" };

    serveGrip = new ServeGrip({ grip: control, gripProxyRequired: true });
    const newApp = express();
    newApp.use(serveGrip as unknown as express.RequestHandler);
    newApp.get("/stream", (_request, response) => {
      const instruct = gripOf(response).startInstruct();
      instruct.addChannel("new-stream");
      instruct.setHoldStream();
      response.end("[stream open]\n");
    });
    newApp.get("/poll", (_request, response) => {
      const instruct = gripOf(response).startInstruct();
      instruct.addChannel("new-poll");
      instruct.setHoldLongPoll(30);
      response.end("nothing\n");
    });
    newApp.post("/socket", (request, response) => {
      const { wsContext } = (request as unknown as { grip: { wsContext?: WsContext } }).grip;
      if (wsContext !== undefined) echo(wsContext, "new-socket");
      response.end();
    });

    const oldApp = express();
    expressGrip.configure({ gripProxies: [control], gripProxyRequired: true });
    oldApp.use(expressGrip.preHandlerGripMiddleware);
    oldApp.get("/stream", (_request: Request, response: Response, next: NextFunction) => {
      expressGrip.setHoldStream(response, "old-stream");
      response.send("[stream open]\n");
      next();
    });
    oldApp.get("/poll", (_request: Request, response: Response, next: NextFunction) => {
      expressGrip.setHoldLongpoll(response, "old-poll", 30);
      response.send("nothing\n");
      next();
    });
    oldApp.post("/socket", (_request: Request, response: Response, next: NextFunction) => {
      if (!expressGrip.verifyIsWebSocket(response, next)) return;
      echo(expressGrip.getWsContext(response), "old-socket");
      next();
    });
    oldApp.use(expressGrip.postHandlerGripMiddleware);

    events = makeEvents(`${installation.controlUrl}/`);
    const eventApp = express();
    eventApp.get("/events", events("news") as unknown as express.RequestHandler);
  });

  afterAll(async () => {
    await installation?.stop();
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  });

  const open = (host: string, path: string) =>
    HttpStream.open(`${installation.url}${path}`, { headers: { Host: host } });
  const socket = (host: string) =>
    SocketClient.open(`${installation.url.replace("http:", "ws:")}/socket`, { Host: host });

  /** Publishes until it has arrived: a subscription needs a moment to be there. */
  const publishUntil = (publish: () => Promise<unknown>, isThere: () => boolean) =>
    until("a published item", async () => {
      if (isThere()) return true;
      await publish();
      return until("its arrival", isThere, 500).catch(() => undefined);
    });

  test("when serve-grip 2 holds a stream and publishes, then the client gets the item", async () => {
    const stream = await open("new.test", "/stream");
    await stream.received("[stream open]\n");
    await publishUntil(
      () => serveGrip.getPublisher().publishHttpStream("new-stream", "hello\n"),
      () => stream.text.includes("hello\n"),
    );
    stream.close();
  });

  test("when serve-grip 2 holds a long poll and publishes, then the item is the response", async () => {
    let body: string | undefined;
    const pending = awaitedLater(
      open("new.test", "/poll").then(async (one) => {
        await one.finished();
        body = one.text;
      }),
    );
    await publishUntil(
      () => serveGrip.getPublisher().publishHttpResponse("new-poll", "hello\n"),
      () => body !== undefined,
    );
    await pending;
    expect(body).toBe("hello\n");
  });

  test("when serve-grip 2 speaks WebSocket-over-HTTP, then echo and publish work", async () => {
    const client = await socket("new.test");
    client.send("hi");
    await client.received("hi");
    await publishUntil(
      () =>
        serveGrip
          .getPublisher()
          .publishFormats("new-socket", new WebSocketMessageFormat("from the publisher")),
      () => client.messages.includes("from the publisher"),
    );
    client.socket.close(1000);
    expect((await client.end()).code).toBe(1000);
  });

  const publishOld = (channel: string, format: object) =>
    new Promise<void>((resolve) => expressGrip.publish(channel, format, () => resolve()));

  test("when express-grip 1 holds a stream and publishes, then the client gets the item", async () => {
    const stream = await open("old.test", "/stream");
    await stream.received("[stream open]\n");
    await publishUntil(
      () => publishOld("old-stream", new oldGrip.HttpStreamFormat("hello\n")),
      () => stream.text.includes("hello\n"),
    );
    stream.close();
  });

  test("when express-grip 1 holds a long poll and publishes, then the item is the response", async () => {
    let body: string | undefined;
    const pending = awaitedLater(
      open("old.test", "/poll").then(async (one) => {
        await one.finished();
        body = one.text;
      }),
    );
    const format = new oldGrip.HttpResponseFormat(null, null, null, "hello\n");
    await publishUntil(
      () => publishOld("old-poll", format),
      () => body !== undefined,
    );
    await pending;
    expect(body).toBe("hello\n");
  });

  test("when express-grip 1 speaks WebSocket-over-HTTP, then echo and publish work", async () => {
    const client = await socket("old.test");
    client.send("hi");
    await client.received("hi");
    await publishUntil(
      () => publishOld("old-socket", new oldGrip.WebSocketMessageFormat("from the publisher")),
      () => client.messages.includes("from the publisher"),
    );
    client.socket.close(1000);
    expect((await client.end()).code).toBe(1000);
  });

  test("when eventstream 2 publishes events, then they arrive as server-sent events", async () => {
    const stream = await HttpStream.open(`${installation.url}/events`, {
      headers: { Host: "events.test", Accept: "text/event-stream" },
    });
    expect(stream.headers["content-type"]).toMatch(/text\/event-stream/);
    await publishUntil(
      () => events.publishEvent("news", { event: "message", data: { name: "Alice" } }),
      () => stream.text.includes('data: {"name":"Alice"}'),
    );
    stream.close();
  });
});

function gripOf(response: Response) {
  return (
    response as unknown as {
      grip: {
        startInstruct(): {
          addChannel(channel: string): void;
          setHoldStream(): void;
          setHoldLongPoll(timeout: number): void;
        };
      };
    }
  ).grip;
}
