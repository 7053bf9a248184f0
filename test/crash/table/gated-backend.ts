import type { IncomingMessage, ServerResponse } from "node:http";
import { Backend } from "@pushpin/testkit";
import type { WebSocket } from "ws";

const EVENTS_TYPE = "application/websocket-events";

interface Event {
  readonly type: string;
  readonly content: string;
}

/**
 * A backend that keeps requests waiting until the test lets them go. The last segment of a path is the
 * name of what the test has set up; everything is counted by it.
 *
 * - `/wait/NAME` answers with method and body, once let go; `/begun/NAME` has begun before
 * - `/hold/NAME?Header=value` answers `[open]` with these headers
 * - `/retry/NAME` is held the first time, and waits from then on
 * - `/recover/NAME` has nothing that was missed
 * - `/woh/NAME?control=JSON` speaks WebSocket over HTTP and subscribes to NAME; a message `gate` and closes wait
 * - `/plain/NAME` and `/grip/NAME` are WebSockets that echo; the latter subscribes to NAME
 */
export class GatedBackend {
  readonly #backend: Backend;
  readonly #gates: Gates;

  readonly #heads: ReadonlyMap<string, number>;

  private constructor(backend: Backend, gates: Gates, heads: ReadonlyMap<string, number>) {
    this.#backend = backend;
    this.#gates = gates;
    this.#heads = heads;
  }

  static async start(): Promise<GatedBackend> {
    const gates = new Gates();
    const heads = new Map<string, number>();
    const onHead = (request: IncomingMessage) =>
      heads.set(pathOf(request), (heads.get(pathOf(request)) ?? 0) + 1);
    const backend = await Backend.start(
      (request, response, body) => answer(gates, request, response, body),
      (socket, request) => {
        const [, kind, name = ""] = pathOf(request).split("/");
        speak(socket, kind === "grip" ? name : undefined);
      },
      { onHead },
    );
    return new GatedBackend(backend, gates, heads);
  }

  get address(): string {
    return this.#backend.address;
  }

  /** How many requests there were for this path, whether all of their body came or not. */
  count(path: string): number {
    return this.#heads.get(path) ?? 0;
  }

  /** Whether a whole request for this path had this in its body. */
  hasGot(path: string, text: string): boolean {
    return this.#backend.requests.some(({ url, body }) => url.split("?")[0] === path && body.includes(text));
  }

  /** A request waits under this name. */
  isWaiting(name: string): boolean {
    return this.#gates.isWaiting(name);
  }

  /** Answers what waits under this name, and what will. */
  release(name: string): void {
    this.#gates.open(name);
  }

  releaseAll(): void {
    this.#gates.openAll();
  }

  stop(): Promise<void> {
    return this.#backend.stop();
  }
}

class Gates {
  readonly #waiting = new Map<string, (() => void)[]>();
  readonly #open = new Set<string>();
  readonly #known = new Set<string>();
  #areAllOpen = false;

  pass(name: string, go: () => void): void {
    if (this.#areAllOpen || this.#open.has(name)) go();
    else this.#waiting.set(name, [...(this.#waiting.get(name) ?? []), go]);
  }

  isWaiting(name: string): boolean {
    return this.#waiting.has(name);
  }

  note(name: string): void {
    this.#known.add(name);
  }

  isKnown(name: string): boolean {
    return this.#known.has(name);
  }

  open(name: string): void {
    this.#open.add(name);
    for (const go of this.#waiting.get(name) ?? []) go();
    this.#waiting.delete(name);
  }

  openAll(): void {
    this.#areAllOpen = true;
    for (const name of [...this.#waiting.keys()]) this.open(name);
  }
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").split("?")[0] ?? "";
}

function answer(gates: Gates, request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const url = new URL(request.url ?? "", "http://backend");
  const [, kind, name = ""] = url.pathname.split("/");
  response.on("error", () => {});
  const late = () => response.end(`${request.method} ${body.toString()}`);
  switch (kind) {
    case "wait":
      gates.pass(name, late);
      return;
    case "begun":
      response.write("begun;");
      gates.pass(name, () => response.end("ended"));
      return;
    case "hold":
      for (const [header, value] of url.searchParams) response.appendHeader(header, value);
      response.end("[open]");
      return;
    case "retry":
      if (gates.isKnown(name)) {
        gates.pass(name, late);
        return;
      }
      gates.note(name);
      response.setHeader("Grip-Hold", "response");
      response.setHeader("Grip-Channel", `${name}; prev-id=1`);
      response.end();
      return;
    case "recover": {
      // Nothing was missed, and it goes on.
      const { 1: last = "" } = /last-id=(.*)/.exec(String(request.headers["grip-last"])) ?? [];
      response.setHeader("Grip-Hold", "stream");
      response.setHeader("Grip-Channel", `${name}; prev-id=${last}`);
      response.setHeader("Grip-Link", `</recover/${name}>; rel=next`);
      response.end();
      return;
    }
    case "woh": {
      const events = parseEvents(body);
      const go = () => {
        response.setHeader("Content-Type", EVENTS_TYPE);
        response.setHeader("Sec-WebSocket-Extensions", "grip");
        const controls = url.searchParams.getAll("control");
        response.end(events.map((event) => answerEvent(event, name, controls)).join(""), "latin1");
      };
      const isGated = events.some(({ type, content }) => type === "CLOSE" || content === "gate");
      if (isGated) gates.pass(name, go);
      else go();
      return;
    }
    default:
      response.end("here\n");
  }
}

function parseEvents(body: Buffer): Event[] {
  const events: Event[] = [];
  for (let at = 0; at < body.length; ) {
    const end = body.indexOf("\r\n", at);
    const [type = "", length] = body.toString("latin1", at, end).split(" ");
    at = end + 2;
    const bytes = length === undefined ? 0 : Number.parseInt(length, 16);
    events.push({ type, content: body.toString("latin1", at, at + bytes) });
    if (length !== undefined) at += bytes + 2;
  }
  return events;
}

function answerEvent({ type, content }: Event, channel: string, controls: readonly string[]): string {
  const render = (name: string, text: string) =>
    `${name} ${text.length.toString(16)}\r\n${text}\r\n`;
  if (type === "OPEN")
    return [
      "OPEN\r\n",
      ...controls.map((one) => render("TEXT", `c:${one}`)),
      render("TEXT", `c:${JSON.stringify({ type: "subscribe", channel })}`),
    ].join("");
  if (type === "TEXT") return render("TEXT", `m:${content}`);
  return type === "CLOSE" ? render("CLOSE", content) : "";
}

function speak(socket: WebSocket, channel: string | undefined): void {
  if (channel !== undefined) socket.send(`c:${JSON.stringify({ type: "subscribe", channel })}`);
  const prefix = channel === undefined ? "" : "m:";
  socket.on("message", (data: Buffer) => socket.send(`${prefix}${data.toString()}`));
}
