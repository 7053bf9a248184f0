import { Backend, type BackendOptions } from "@pushpin/testkit";
import type { WebSocket } from "ws";

const EVENTS_TYPE = "application/websocket-events";

/**
 * A backend for the main job: `/echo` answers with what it got, `/stream` and `/poll` hold on
 * channel `?channel=`, `/woh` and `/grip` speak WebSocket and subscribe, `/plain` echoes frames.
 */
export function startGripBackend(options: BackendOptions = {}): Promise<Backend> {
  return Backend.start(
    (request, response, body) => {
      const url = new URL(request.url ?? "/", "http://backend");
      const channel = url.searchParams.get("channel") ?? "test";
      switch (url.pathname) {
        case "/stream":
          response.setHeader("Grip-Hold", "stream");
          response.setHeader("Grip-Channel", channel);
          response.setHeader("Content-Type", "text/plain");
          response.end("[open]\n");
          return;
        case "/answer": {
          // Headers, status and size of the body as the query says.
          for (const [name, value] of url.searchParams)
            if (/^[A-Z]/.test(name)) response.appendHeader(name, value);
          response.statusCode = Number(url.searchParams.get("status") ?? 200);
          response.end("x".repeat(Number(url.searchParams.get("size") ?? 1)));
          return;
        }
        case "/poll":
          response.setHeader("Grip-Hold", "response");
          response.setHeader("Grip-Channel", channel);
          response.setHeader("Content-Type", "text/plain");
          response.end("nothing\n");
          return;
        case "/woh":
          answerEvents(channel, request.headers["content-type"] ?? "", body, response);
          return;
        default:
          response.setHeader("X-Method", request.method ?? "");
          response.setHeader("Content-Type", "application/octet-stream");
          response.end(body);
      }
    },
    (socket, request) => {
      const url = new URL(request.url ?? "/", "http://backend");
      if (url.pathname === "/grip") speakGrip(socket, url.searchParams.get("channel") ?? "test");
      else socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    },
    options,
  );
}

function speakGrip(socket: WebSocket, channel: string): void {
  socket.send(`c:${JSON.stringify({ type: "subscribe", channel })}`);
  socket.on("message", (data: Buffer) => socket.send(`m:${data.toString()}`));
}

function answerEvents(
  channel: string,
  type: string,
  body: Buffer,
  response: import("node:http").ServerResponse,
): void {
  if (type !== EVENTS_TYPE) {
    response.statusCode = 400;
    response.end("no events\n");
    return;
  }
  const answers: Buffer[] = [];
  let at = 0;
  while (at < body.length) {
    const end = body.indexOf("\r\n", at);
    const [event = "", length] = body.toString("latin1", at, end).split(" ");
    at = end + 2;
    let content: Buffer | undefined;
    if (length !== undefined) {
      const bytes = Number.parseInt(length, 16);
      content = body.subarray(at, at + bytes);
      at += bytes + 2;
    }
    answers.push(...answerEvent(channel, event, content));
  }
  response.setHeader("Content-Type", EVENTS_TYPE);
  response.setHeader("Sec-WebSocket-Extensions", "grip");
  response.end(Buffer.concat(answers));
}

function answerEvent(channel: string, event: string, content: Buffer | undefined): Buffer[] {
  const withContent = (name: string, bytes: Buffer) => [
    Buffer.from(`${name} ${bytes.length.toString(16)}\r\n`),
    bytes,
    Buffer.from("\r\n"),
  ];
  switch (event) {
    case "OPEN":
      return [
        Buffer.from("OPEN\r\n"),
        ...withContent("TEXT", Buffer.from(`c:${JSON.stringify({ type: "subscribe", channel })}`)),
      ];
    case "TEXT":
      return withContent("TEXT", Buffer.concat([Buffer.from("m:"), content ?? Buffer.alloc(0)]));
    case "CLOSE":
      return content === undefined ? [Buffer.from("CLOSE\r\n")] : withContent("CLOSE", content);
    default:
      return [];
  }
}
