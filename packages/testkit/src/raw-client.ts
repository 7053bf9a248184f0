import { connect, type NetConnectOpts, type Socket } from "node:net";
import { until } from "./until.ts";

/** A response as it stood in the bytes. */
export interface RawResponse {
  /** Version, status and reason. */
  readonly line: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A client that writes bytes and looks at bytes; nothing is corrected on the way. */
export class RawClient {
  readonly socket: Socket;
  /** Everything received, one char per byte. */
  text = "";
  isEnded = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (data: Buffer) => {
      this.text += data.toString("latin1");
    });
    socket.on("error", () => {});
    const end = () => {
      this.isEnded = true;
    };
    socket.on("end", end);
    socket.on("close", end);
  }

  static open(port: number): Promise<RawClient> {
    return RawClient.#connect({ port, host: "127.0.0.1" });
  }

  /** Connects to a unix socket. */
  static openLocal(path: string): Promise<RawClient> {
    return RawClient.#connect({ path });
  }

  static #connect(where: NetConnectOpts): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ ...where, allowHalfOpen: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new RawClient(socket)));
    });
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  async received(pattern: RegExp | string, timeoutMs?: number): Promise<void> {
    const look = () =>
      typeof pattern === "string" ? this.text.includes(pattern) : pattern.test(this.text);
    await until(
      `${pattern} in ${JSON.stringify(this.text.slice(-500))}`,
      () => {
        if (look()) return true;
        if (this.isEnded) throw new Error(`ended without ${pattern}: ${JSON.stringify(this.text)}`);
        return undefined;
      },
      timeoutMs,
    );
  }

  async ended(timeoutMs?: number): Promise<void> {
    await until("the end of a connection", () => this.isEnded, timeoutMs);
  }

  /** Takes the next response off the bytes; `method` says whether it has a body. */
  async response(method = "GET", timeoutMs?: number): Promise<RawResponse> {
    return until(
      `a response in ${JSON.stringify(this.text.slice(0, 500))}`,
      () => {
        const taken = takeResponse(this.text, method, this.isEnded);
        if (taken === undefined) {
          if (this.isEnded) throw new Error(`ended early: ${JSON.stringify(this.text)}`);
          return undefined;
        }
        this.text = this.text.slice(taken.length);
        return taken.response;
      },
      timeoutMs,
    );
  }

  close(): void {
    this.socket.destroy();
  }
}

function takeResponse(
  text: string,
  method: string,
  isEnded: boolean,
): { response: RawResponse; length: number } | undefined {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const [line = "", ...fields] = text.slice(0, headEnd).split("\r\n");
  const headers: Record<string, string> = {};
  for (const field of fields) {
    const colon = field.indexOf(":");
    const name = field.slice(0, colon).toLowerCase();
    const value = field.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  const status = Number(line.split(" ")[1]);
  const start = headEnd + 4;
  const body = takeBody(text, start, { status, method, headers, isEnded });
  if (body === undefined) return undefined;
  return { response: { line, status, headers, body: body.content }, length: body.end };
}

function takeBody(
  text: string,
  start: number,
  head: {
    status: number;
    method: string;
    headers: Readonly<Record<string, string>>;
    isEnded: boolean;
  },
): { content: string; end: number } | undefined {
  const { status, method, headers, isEnded } = head;
  if (method === "HEAD" || status < 200 || status === 204 || status === 304)
    return { content: "", end: start };
  if (headers["transfer-encoding"] === "chunked") return takeChunks(text, start);
  const length = headers["content-length"];
  if (length !== undefined) {
    const end = start + Number(length);
    return text.length < end ? undefined : { content: text.slice(start, end), end };
  }
  return isEnded ? { content: text.slice(start), end: text.length } : undefined;
}

function takeChunks(text: string, start: number): { content: string; end: number } | undefined {
  let content = "";
  for (let at = start; ; ) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const bytes = Number.parseInt(text.slice(at, lineEnd), 16);
    const end = lineEnd + 2 + bytes + 2;
    if (text.length < end) return undefined;
    content += text.slice(lineEnd + 2, lineEnd + 2 + bytes);
    at = end;
    if (bytes === 0) return { content, end };
  }
}
