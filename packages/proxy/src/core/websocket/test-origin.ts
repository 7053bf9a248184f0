import type { Bytes } from "@pushpin/tnetstrings";
import type { Route } from "../routes/route-table.ts";
import { readTestRequest } from "../test-target.ts";
import type { MessageType, SocketOrigin, SocketOriginEvents } from "./socket-ports.ts";

/** The built-in backend of a `test` target: `/ws` says everything again (proxy.md 7.4). */
export class TestOrigin implements SocketOrigin {
  readonly queuedBytes = 0;
  readonly #events: SocketOriginEvents;
  readonly #uri: string;
  readonly #route: Route;
  /** A message is under way; its further pieces carry no prefix. */
  #isInMessage = false;
  #isOver = false;

  constructor(uri: string, route: Route, events: SocketOriginEvents) {
    this.#uri = uri;
    this.#route = route;
    this.#events = events;
  }

  open(): void {
    const { path, channels } = readTestRequest(this.#uri, this.#route);
    if (path !== "/ws") {
      this.#isOver = true;
      const headers = ["Content-Type", "text/plain"];
      const head = { code: 404, reason: "Not Found", headers };
      this.#events.rejected(head, "no such test resource\n");
      return;
    }
    const headers = this.#route.noGrip ? [] : ["Sec-WebSocket-Extensions", "grip"];
    this.#events.opened({ code: 101, reason: "Switching Protocols", headers });
    if (this.#route.noGrip) return;
    for (const channel of channels)
      this.#events.message("text", `c:${JSON.stringify({ channel, type: "subscribe" })}`, false);
  }

  refresh(): void {}

  message(type: MessageType, body: Bytes, more: boolean): void {
    if (!this.#isInMessage && !this.#route.noGrip) this.#events.message(type, "m:", true);
    this.#isInMessage = more;
    this.#events.message(type, body, more);
  }

  ping(body: Bytes): void {
    this.#events.ping(body);
  }

  pong(body: Bytes): void {
    this.#events.pong(body);
  }

  close(code: number | undefined, reason: Bytes): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events.close(code, reason);
    this.#events.gone();
  }

  drop(): void {
    this.#isOver = true;
  }

  grant(): void {}
}
