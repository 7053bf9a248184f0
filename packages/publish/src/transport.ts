import { request as httpRequest, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { signToken } from "@pushpin/grip";
import { silentLog } from "@pushpin/log";
import { encode } from "@pushpin/tnetstrings";
import { ZmqSocket } from "@pushpin/zmq";
import { type Item, toJson, toTnet } from "./item.ts";

/** Something an operator can act on; the message is shown after `Error: `. */
export class PublishError extends Error {}

export interface Transport {
  send(item: Item): Promise<void>;
  close(): Promise<void>;
}

const TIMEOUT_MS = 30_000;
const TOKEN_LIFETIME_S = 3600;
/** A peer is looked for this often. */
const POLL_MS = 5;

/** By HTTP where the spec is a URL of that kind, else by a ZeroMQ PUSH socket. */
export function openTransport(spec: string, authorization: string): Transport {
  if (/^https?:/i.test(spec)) return new HttpTransport(spec, authorization);
  return new PushTransport(spec);
}

/** `POST <path>/publish/` at the control port of a GRIP proxy. */
class HttpTransport implements Transport {
  readonly #url: string;
  readonly #authorization: string;

  constructor(spec: string, given: string) {
    const url = URL.canParse(spec) ? new URL(spec) : undefined;
    if (url === undefined || url.username !== "" || url.password !== "")
      throw new PublishError("invalid URL");
    let authorization = given;
    const key = url.searchParams.get("key");
    const issuer = url.searchParams.get("iss");
    for (const name of ["key", "iss", "verify-key", "verify-iss"]) url.searchParams.delete(name);
    // Keys in the URL mean a token, as the GRIP libraries understand it.
    if (authorization === "" && key !== null) authorization = `Bearer ${tokenOf(issuer, key)}`;
    else if (authorization !== "" && url.protocol !== "https:")
      throw new PublishError("Authentication requires https");
    this.#authorization = authorization;
    // What follows the authority is taken as it is written, but for the keys.
    const literal = /^https?:\/\/[^/?#]*([^?#]*)/i.exec(spec)?.[1] ?? "";
    this.#url = `${url.protocol}//${url.host}${literal}${url.search}/publish/`;
  }

  async send(item: Item): Promise<void> {
    let status: number;
    let text: string;
    try {
      ({ status, text } = await post(this.#url, toJson([item]), this.#authorization));
    } catch (error) {
      throw new PublishError(causeOf(error), { cause: error });
    }
    if (status !== 200) throw new PublishError(text.trim());
  }

  async close(): Promise<void> {}
}

function tokenOf(issuer: string | null, key: string): string {
  const secret = key.startsWith("base64:")
    ? Buffer.from(key.slice("base64:".length), "base64")
    : Buffer.from(key);
  const exp = Math.floor(Date.now() / 1000) + TOKEN_LIFETIME_S;
  return signToken({ exp, ...(issuer === null ? {} : { iss: issuer }) }, { kind: "secret", secret });
}

function post(
  url: string,
  body: string,
  authorization: string,
): Promise<{ status: number; text: string }> {
  const options: RequestOptions = {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(body),
      ...(authorization === "" ? {} : { Authorization: authorization }),
    },
    timeout: TIMEOUT_MS,
  };
  const request = url.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const sent = request(url, options, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => {
        text += piece;
      });
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on("error", reject);
    sent.on("timeout", () => sent.destroy(new Error("no answer in time")));
    sent.end(body);
  });
}

function causeOf(error: unknown): string {
  const { code, message } = error as { code?: string; message: string };
  if (code === "ECONNREFUSED") return "Connection refused (os error 111)";
  if (code === "ECONNRESET") return "unexpected end of file";
  return code?.startsWith("HPE_") ? "invalid data" : message;
}

/** One tnetstring to whoever PULLs. */
class PushTransport implements Transport {
  readonly #spec: string;
  #socket: ZmqSocket | undefined;

  constructor(spec: string) {
    this.#spec = spec;
  }

  async send(item: Item): Promise<void> {
    this.#socket ??= await this.#open();
    const endMs = performance.now() + TIMEOUT_MS;
    while (!this.#socket.isWritable) {
      if (performance.now() > endMs)
        throw new PublishError(`nobody takes messages at ${this.#spec}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    this.#socket.send(encode(toTnet(item)));
  }

  async close(): Promise<void> {
    await this.#socket?.close();
  }

  async #open(): Promise<ZmqSocket> {
    try {
      return await ZmqSocket.open({
        type: "push",
        specs: [this.#spec],
        mode: "connect",
        immediate: true,
        lingerMs: TIMEOUT_MS,
        log: silentLog,
      });
    } catch (error) {
      throw new PublishError(`${this.#spec}: ${(error as Error).message}`, { cause: error });
    }
  }
}
