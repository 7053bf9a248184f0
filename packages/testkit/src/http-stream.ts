import { type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { request as requestOverTls } from "node:https";
import { until } from "./until.ts";

export interface RequestSpec {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Buffer;
}

/** A response that is read while it comes. */
export class HttpStream {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly response: IncomingMessage;
  text = "";
  /** `complete`, or why it ended otherwise. */
  end: string | undefined;

  private constructor(response: IncomingMessage) {
    this.response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    response.on("data", (data: Buffer) => {
      this.text += data.toString("latin1");
    });
    response.on("end", () => {
      this.end ??= response.complete ? "complete" : "truncated";
    });
    response.on("error", (error) => {
      this.end ??= error.message;
    });
    response.on("close", () => {
      this.end ??= "closed";
    });
  }

  /** Resolves with the head. Each has a connection of its own; over TLS any certificate will do. */
  static open(url: string, spec: RequestSpec = {}): Promise<HttpStream> {
    return new Promise((resolve, reject) => {
      const send = url.startsWith("https:") ? requestOverTls : request;
      const sent = send(
        url,
        {
          method: spec.method ?? "GET",
          headers: { ...spec.headers },
          agent: false,
          rejectUnauthorized: false,
        },
        (response) => resolve(new HttpStream(response)),
      );
      sent.on("error", reject);
      sent.end(spec.body);
    });
  }

  /** A whole response. */
  static async whole(url: string, spec: RequestSpec = {}): Promise<HttpStream> {
    const stream = await HttpStream.open(url, spec);
    await stream.finished();
    return stream;
  }

  async received(text: string, timeoutMs?: number): Promise<void> {
    const look = () => this.text.includes(text) || this.#endedWithout(text);
    await until(`"${text}" in "${this.text}"`, look, timeoutMs);
  }

  async finished(timeoutMs?: number): Promise<string> {
    return until("the end of a response", () => this.end, timeoutMs);
  }

  close(): void {
    this.response.destroy();
  }

  #endedWithout(text: string): undefined {
    if (this.end !== undefined)
      throw new Error(`ended (${this.end}) without "${text}": "${this.text}"`);
    return undefined;
  }
}
