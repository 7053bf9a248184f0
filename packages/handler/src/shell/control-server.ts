import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { fromJson, type PublishItem, parseItem } from "@pushpin/grip";
import type { Logger } from "@pushpin/log";
import { toUtf8 } from "@pushpin/tnetstrings";

export interface ControlOptions {
  readonly listen: { readonly fd: number } | { readonly host: string; readonly port: number };
  readonly maxHeaderBytes: number;
  readonly maxBodyBytes: number;
  readonly log: Logger;
  readonly publish: (item: PublishItem) => void;
}

/** Limit: connections at once; more wait in the backlog. */
const CONNECTIONS_MAX = 128;

/** The HTTP control port: `GET /` and `POST /publish/` (handler.md 7.3). */
export class ControlServer {
  readonly #options: ControlOptions;
  readonly #server: Server;

  private constructor(options: ControlOptions) {
    this.#options = options;
    this.#server = createServer(
      { maxHeaderSize: options.maxHeaderBytes, requestTimeout: 60_000 },
      (request, response) => this.#request(request, response),
    );
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  static open(options: ControlOptions): Promise<ControlServer> {
    const control = new ControlServer(options);
    return new Promise((resolve, reject) => {
      control.#server.once("error", reject);
      control.#server.listen(options.listen, () => resolve(control));
    });
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    const asJson = acceptsJson(request.headers.accept);
    if (asJson === undefined) {
      answer(
        response,
        406,
        "Not Acceptable. Supported formats are text/plain and application/json.\n",
      );
      return;
    }
    const path = (request.url ?? "/").replace(/\/$/, "");
    if (path === "" || path === "/") {
      answer(response, 200, "Pushpin API\n");
      return;
    }
    if (path !== "/publish") {
      answer(response, 404, "Not Found\n");
      return;
    }
    if (request.method !== "POST") {
      answer(response, 405, `Method not allowed: ${request.method}.\n`, ["Allow", "POST"]);
      return;
    }
    const length = request.headers["content-length"];
    if (length === undefined) {
      answer(response, 411, "Request requires Content-Length.\n");
      return;
    }
    // Limit: push_in_http_max_body_size
    if (Number(length) > this.#options.maxBodyBytes) {
      answer(response, 400, "Request body too large.\n");
      return;
    }
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => this.#publish(Buffer.concat(pieces), response, asJson));
  }

  #publish(body: Buffer, response: ServerResponse, asJson: boolean): void {
    let parsed: unknown;
    try {
      parsed = JSON.parse(body.toString("utf8"));
    } catch {
      answer(response, 400, "Body is not valid JSON.\n");
      return;
    }
    const items = itemsOf(parsed);
    if (typeof items === "string") {
      answer(response, 400, items);
      return;
    }
    answer(response, 200, asJson ? '{"message":"Published"}\n' : "Published\n", [], asJson);
    for (const item of items) this.#options.publish(item);
  }
}

/** The items of a publish request, or the text of the refusal. One bad item refuses all. */
function itemsOf(parsed: unknown): PublishItem[] | string {
  const value = fromJson(parsed);
  if (!(value instanceof Map)) return "Invalid format.\n";
  const list = value.get("items");
  if (list === undefined) return "Invalid format: object does not contain 'items'\n";
  if (!Array.isArray(list)) return "Invalid format: object contains 'items' with wrong type\n";
  const items: PublishItem[] = [];
  for (const one of list) {
    const item = parseItem(one, true);
    if (!item.ok) return `Invalid format: ${toUtf8(item.error)}\n`;
    items.push(item.value);
  }
  return items;
}

/** The last supported type listed decides, as the original has it; undefined where there is none. */
function acceptsJson(accept: string | undefined): boolean | undefined {
  if (accept === undefined) return false;
  let json: boolean | undefined;
  for (const one of accept.split(",")) {
    const type = (one.split(";")[0] as string).trim();
    if (type === "text/plain" || type === "text/*" || type === "*/*" || type === "*") json = false;
    else if (type === "application/json" || type === "application/*") json = true;
  }
  return json;
}

function answer(
  response: ServerResponse,
  code: number,
  body: string,
  extra: readonly string[] = [],
  asJson = false,
): void {
  response.sendDate = false;
  response.writeHead(code, [
    ...extra,
    "Content-Type",
    asJson ? "application/json" : "text/plain",
    "Connection",
    "close",
    "Content-Length",
    String(Buffer.byteLength(body)),
  ]);
  response.end(body);
}
