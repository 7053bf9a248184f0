import { createHash } from "node:crypto";
import { getAllHeaders, getHeader } from "@pushpin/http";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ClientListener, ClientRequest } from "../relay/client-request.ts";
import { RequestBody } from "../relay/request-body.ts";
import { type Route, RouteTable } from "../routes/route-table.ts";
import type { SocketClient, SocketClientEvents } from "../websocket/socket-ports.ts";
import { SocketTimers } from "../websocket/socket-timers.ts";
import { SockJsManager, sockJsPath, type VirtualSocket } from "./sockjs-manager.ts";

interface Asked {
  method?: string;
  headers?: string[];
  body?: string;
}

interface Answer {
  code: number;
  headers: string[];
  body: string;
}

function routeOf(line: string): Route {
  const table = RouteTable.parse([line], () => expect.unreachable());
  return table.find("http", false, "h", "/") as Route;
}

function make(line = "h,sockjs=/sj 127.0.0.1:1") {
  const route = routeOf(line);
  const opened: { request: VirtualSocket; client: SocketClient; messages: string[] }[] = [];
  const manager = new SockJsManager({
    timers: new SocketTimers(0),
    nowMs: () => 0,
    random: () => 0.5,
    scriptUrl: "http://cdn.example/sockjs.js?a&b",
    open: (request, makeClient) => {
      const messages: string[] = [];
      const client = makeClient({
        message: (_type, body) => {
          messages.push(String(body));
          if (body.length > 0) client.grant(body.length);
        },
        ping: () => {},
        pong: () => {},
        close: () => {},
        drained: () => {},
        gone: () => {},
      } satisfies SocketClientEvents);
      opened.push({ request, client, messages });
      client.accept({ code: 101, reason: "", headers: [] });
    },
  });
  const ask = (path: string, { method = "GET", headers = [], body = "" }: Asked = {}) => {
    const answers: Answer[] = [];
    const uri = `http://h${path}`;
    const client = {
      info: { method, uri, headers, peerAddress: "127.0.0.1" },
      listener: undefined as ClientListener | undefined,
      answerWith: (one: Answer) => void answers.push(one),
    };
    const whole = new RequestBody();
    whole.add(body, false);
    const below = sockJsPath(route, uri);
    if (below !== undefined)
      manager.request(client as unknown as ClientRequest, route, below, whole);
    return answers[0];
  };
  const post = (path: string, body = "") => ask(path, { method: "POST", body });
  return { manager, route, opened, ask, post };
}

describe("given requests that need no backend", () => {
  test("proxy R146: when information is asked for, then the origin is the client's", () => {
    const { ask } = make();
    const answer = ask("/sj/info?x", { headers: ["Origin", "http://page.test"] });
    expect(answer?.body).toBe(
      '{"cookie_needed":false,"entropy":2147483648,"origins":["*:*"],"websocket":true}\n',
    );
    expect(answer?.headers).toEqual([
      ...["Content-Type", "text/plain", "Content-Length", "80"],
      ...["Cache-Control", "no-store, no-cache, must-revalidate, max-age=0"],
      ...["Access-Control-Allow-Origin", "http://page.test"],
      ...["Access-Control-Allow-Credentials", "true"],
    ]);
  });

  test("when the iframe is asked for, then it is named by its digest and cached", () => {
    const { ask } = make();
    const page = ask("/sj/iframe-1.6.1.html");
    const digest = createHash("md5")
      .update(page?.body ?? "")
      .digest("hex");
    expect(page?.headers.slice(0, 6)).toEqual([
      ...["ETag", `"${digest}"`, "Content-Type", "text/html; charset=UTF-8"],
      ...["Cache-Control", "public, max-age=31536000"],
    ]);
    expect(getAllHeaders(page?.headers ?? [], "cache-control").length).toBe(2);
    expect(page?.body).toContain('<script src="http://cdn.example/sockjs.js?a&#38;b"></script>');
    const again = ask("/sj/iframe.html", { headers: ["If-None-Match", `"${digest}"`] });
    expect([again?.code, again?.body, getHeader(again?.headers ?? [], "etag")]).toEqual([
      304,
      "",
      `"${digest}"`,
    ]);
  });

  test("when anything is asked for by OPTIONS, then nothing is its answer", () => {
    const { ask, opened } = make();
    expect(ask("/sj/0/a/xhr", { method: "OPTIONS" })).toMatchObject({ code: 204, body: "" });
    expect(opened).toEqual([]);
  });

  test.each([
    ["GET", "/sj"],
    ["GET", "/sj/"],
    ["POST", "/sj/info"],
    ["HEAD", "/sj/info"],
    ["POST", "/sj/0//xhr"],
    ["POST", "/sj//a/xhr"],
    ["POST", "/sj/0/a/xhr/more"],
    ["GET", "/sj/0/a/xhr"],
    ["GET", "/sj/0/a/xhr_send"],
    ["PUT", "/sj/0/a/jsonp?c=x"],
    ["DELETE", "/sj/0/a/jsonp_send?d=[]"],
    ["POST", "/sj/0/a/xhr_send"],
    ["POST", "/sj/0/a/jsonp_send"],
    ["POST", "/sj/0/a/xhr_streaming"],
  ])("proxy R153: when %s %s has no session, then there is nothing", (method, path) => {
    const { ask, manager } = make();
    expect(ask(path, { method })).toMatchObject({ code: 404, body: "Not Found\n" });
    expect(manager.size).toBe(0);
  });

  test("when a path only begins like the prefix, then it is none of ours", () => {
    const { route, ask } = make();
    expect(ask("/sjx/info")).toBeUndefined();
    expect(sockJsPath(route, "http://h/sj?x")).toBe("");
    expect(sockJsPath(routeOf("h,sockjs=/sj/ 127.0.0.1:1"), "http://h/sj/info")).toBe("/info");
    expect(sockJsPath(routeOf("h 127.0.0.1:1"), "http://h/sj/info")).toBeUndefined();
  });
});

describe("given sessions", () => {
  test("when one is opened, then the backend sees a WebSocket without the request's length", () => {
    const { ask, opened } = make("h,sockjs=/sj,sockjs_as_path=/back 127.0.0.1:1");
    const headers = ["Host", "h", "content-length", "1", "Cookie", "k=v"];
    expect(ask("/sj/0/a/xhr?q=1", { method: "POST", headers, body: "x" })?.body).toBe("o\n");
    expect(opened[0]?.request).toMatchObject({
      uri: "ws://h/back?q=1",
      headers: ["Host", "h", "Cookie", "k=v"],
      peerAddress: "127.0.0.1",
    });
  });

  test("when the server part differs, then it is the same session", () => {
    const { post, opened } = make();
    post("/sj/000/a/xhr");
    expect(post("/sj/999/a/xhr_send", '["x"]')?.body).toBe("ok");
    expect(opened.map((one) => one.messages)).toEqual([["x"]]);
    post("/sj/000/b/xhr");
    expect(opened.length).toBe(2);
  });

  test("proxy R149: when it has been closed, then every send hears of it, whatever it says", () => {
    const { post, ask, opened } = make();
    post("/sj/0/a/xhr");
    opened[0]?.client.close(4007, "srv");
    for (const answer of [
      post("/sj/0/a/xhr"),
      post("/sj/0/a/xhr_send", "nonsense"),
      post("/sj/0/a/jsonp_send", "d=[]"),
    ])
      expect(answer?.body).toBe('c[4007,"srv"]\n');
    expect(ask("/sj/0/a/jsonp?c=cb")?.body).toBe('/**/cb("c[4007,\\"srv\\"]");\n');
  });

  test("proxy R152: when both names of the callback are given, then the long one counts", () => {
    expect(make().ask("/sj/0/a/jsonp?callback=A&c=B")?.body).toBe('/**/A("o");\n');
    expect(make().ask("/sj/0/a/jsonp?c=_jp.a1[0]")?.body).toBe('/**/_jp.a1[0]("o");\n');
  });

  test.each(["", "?c=", "?c=a%3Bb", "?c=a(1)", "?callback=%3Cscript%3E", "?c=1a", "?c=a."])(
    "proxy R152: when the query of a JSON-P poll is %j, then nothing is opened",
    (query) => {
      const { ask, opened } = make();
      expect(ask(`/sj/0/a/jsonp${query}`)).toMatchObject({ code: 400, body: "Bad Request\n" });
      expect(opened).toEqual([]);
    },
  );

  test("when JSON-P sends, then the form is read as one, with + for blanks", () => {
    const { post, ask, opened } = make();
    post("/sj/0/a/xhr");
    const form = (text: string) => new URLSearchParams({ x: "y", d: text }).toString();
    expect(post("/sj/0/a/jsonp_send", form('["a b+é"]'))?.body).toBe("ok");
    expect(ask("/sj/0/a/jsonp_send?d=%5B%22q%22%5D")?.body).toBe("ok");
    expect(opened[0]?.messages).toEqual(["a b+\xc3\xa9", "q"]);
    for (const body of ['["raw"]', "d=x", "x=1", ""])
      expect(post("/sj/0/a/jsonp_send", body)).toMatchObject({
        code: 400,
        body: "Payload expected\n",
      });
  });

  test("when a body is over 100000 bytes, then it is refused, whatever it is for", () => {
    const { post } = make();
    expect(post("/sj/0/a/xhr", "x".repeat(100_001))).toMatchObject({
      code: 400,
      body: "Request too large.\n",
    });
    expect(post("/sj/0/a/xhr", "x".repeat(100_000))?.body).toBe("o\n");
  });

  test("proxy R154, R155: when a WebSocket comes, then its path says how its frames are read", () => {
    const { manager, route } = make();
    const kinds = [
      "/websocket",
      "/0/a/websocket",
      "/0/a/x",
      "/0/a",
      "",
      "/",
      "/websocket/",
      "/0//x",
    ];
    expect(kinds.map((path) => manager.webSocket(path))).toEqual([
      ...["raw", "framed", "framed"],
      ...[undefined, undefined, undefined, undefined, undefined],
    ]);
    expect(manager.virtualUri(route, "wss://h/sj/0/a/websocket?q", true)).toBe(
      "wss://h/sj/websocket?q",
    );
  });
});

describe("given any request", () => {
  const transport = fc.constantFrom(
    "xhr",
    "jsonp",
    "xhr_send",
    "jsonp_send",
    "htmlfile",
    "%00",
    "..",
  );
  const path = fc.oneof(
    fc.tuple(fc.string(), transport).map(([sid, one]) => `/sj/0/${sid}/${one}`),
    fc.tuple(transport, fc.string()).map(([one, query]) => `/sj/0/a/${one}?${query}`),
    fc.string().map((rest) => `/sj/${rest}`),
  );
  const payload = fc.oneof(fc.json(), fc.string({ unit: "binary" }), fc.array(fc.string()).map((one) => JSON.stringify(one))); // prettier-ignore
  const method = fc.constantFrom("GET", "POST", "PUT", "OPTIONS", "");

  test("then it has exactly one answer, with the common headers, and no session is left unknown", () => {
    fc.assert(
      fc.property(path, method, payload, fc.boolean(), (where, how, what, isForm) => {
        const { ask, post, manager, opened } = make();
        post("/sj/0/a/xhr");
        const text = Buffer.from(isForm ? `d=${what}` : what, "utf8").toString("latin1");
        const answer = ask(where, { method: how, body: text });
        // A second poll of the session "a" waits; everything else is answered at once.
        if (answer !== undefined) {
          expect([200, 204, 400, 404]).toContain(answer.code);
          expect(answer.headers.slice(-6)).toEqual([
            ...["Cache-Control", "no-store, no-cache, must-revalidate, max-age=0"],
            ...["Access-Control-Allow-Origin", "*", "Access-Control-Allow-Credentials", "true"],
          ]);
        } else expect(where).toMatch(/^\/sj\/0\/a\/(xhr|jsonp)(\?|$)/);
        expect(manager.size).toBe(opened.length);
      }),
      { numRuns: 1000 },
    );
  });
});
