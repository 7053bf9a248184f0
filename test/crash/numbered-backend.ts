import { Backend, SocketClient, until } from "@pushpin/testkit";
import type { WebSocket } from "ws";

/** A backend's end of one WebSocket. */
export interface BackendSocket {
  readonly socket: WebSocket;
  readonly messages: string[];
  closed: number | undefined;
}

/**
 * A backend whose WebSockets answer each message with its number and text (`3 hello`); `/grip` speaks
 * GRIP and subscribes to `?channel=`, `/quiet` answers nothing, `/push` also sends numbers by itself.
 */
export async function startNumberedBackend(): Promise<{
  readonly backend: Backend;
  readonly sockets: BackendSocket[];
}> {
  const sockets: BackendSocket[] = [];
  const backend = await Backend.start(
    (_request, response) => response.end("plain\n"),
    (socket, request) => {
      const url = new URL(request.url ?? "/", "http://backend");
      const isGrip = url.pathname === "/grip";
      const prefix = isGrip ? "m:" : "";
      const one: BackendSocket = { socket, messages: [], closed: undefined };
      sockets.push(one);
      if (isGrip)
        socket.send(
          `c:${JSON.stringify({ type: "subscribe", channel: url.searchParams.get("channel") })}`,
        );
      socket.on("message", (data: Buffer) => {
        one.messages.push(data.toString("latin1"));
        if (url.pathname === "/quiet") return;
        const text = data.length > 100 ? `${data.length}` : data.toString("latin1");
        socket.send(`${prefix}${one.messages.length} ${text}`);
      });
      socket.on("close", (code) => {
        one.closed = code;
      });
    },
  );
  return { backend, sockets };
}

/** Waits until the client has `count` answers, and returns them. */
export async function answers(client: SocketClient, count: number): Promise<string[]> {
  const isThere = () => client.messages.length >= count || client.closed !== undefined;
  await until(`${count} answers`, isThere).catch((error: unknown) => {
    const last = client.messages.slice(-10).map((one) => String(one).slice(0, 20));
    throw new Error(`${(error as Error).message}; the last of ${client.messages.length}: ${last.join(", ")}`);
  });
  return client.messages.map(String);
}
